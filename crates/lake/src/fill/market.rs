//! The rows of a canonical chunk to rows of a table, and back.
//!
//! Back, because a window that somebody downloaded must lead to the chunk's bytes again *from its rows*: otherwise the
//! proof in the file would say nothing about the numbers that people look at.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Decimal128Type, Int64Type, TimestampNanosecondType};
use arrow::record_batch::RecordBatch;
use openmesh_market::Feed;
use openmesh_market::event::{Candle, Funding, Liquidation, Side, Ticker};
use openmesh_market::window::{
    BookRow, CandleRow, ChunkHeader, FundingRow, LiquidationRow, OpenInterestRow, PriceRow, Rows as ChunkRows,
    TickerRow, TradeRow,
};
use openmesh_primitives::{Decimal, Timestamp};

use super::Part;
use crate::error::LakeError;
use crate::rows::Rows;
use crate::table::{DECIMAL_SCALE, Table};

/// Columns with what a chunk does not say about itself: the last columns of every market table but for the window.
#[derive(Clone, Copy)]
pub(crate) struct Provenance<'a> {
    pub source: &'a str,
    pub origin: &'a str,
    pub cid: &'a str,
}

/// The columns that hold the provenance, and are not part of a window file.
pub(crate) const PROVENANCE_COLUMNS: [&str; 3] = ["source", "origin", "cid"];

/// The table of a feed; `None` where the feed is not cut into windows.
pub(crate) const fn table_of(feed: Feed) -> Option<Table> {
    Some(match feed {
        Feed::Trades => Table::Trades,
        Feed::Book => Table::BookLevels,
        Feed::Ticker => Table::Tickers,
        Feed::Candles => Table::Candles,
        Feed::Funding => Table::Funding,
        Feed::OpenInterest => Table::OpenInterest,
        Feed::Liquidations => Table::Liquidations,
        Feed::MarkPrice => Table::MarkPrices,
        Feed::IndexPrice => Table::IndexPrices,
        Feed::Blocks => return None,
    })
}

/// The rows of a chunk, in its order.
pub(crate) fn part(header: &ChunkHeader, rows: &ChunkRows, from: Provenance<'_>) -> Result<Part, LakeError> {
    let feed = header.stream.feed;
    let table = table_of(feed).ok_or_else(|| LakeError::chunk(format!("feed {feed} has no market table")))?;
    let symbol = header.stream.symbol.to_string();
    let mut fill = Fill { header, symbol: &symbol, from, at: 0, rows: Rows::new(table) };
    fill.all(rows);
    let order = format!("{}/{}/{:020}", header.stream.exchange.name(), symbol, header.start.nanos());
    Ok(Part { table, at: header.start, order, batch: fill.rows.finish()? })
}

pub(crate) const fn side_name(side: Side) -> &'static str {
    match side {
        Side::Buy => "buy",
        Side::Sell => "sell",
    }
}

struct Fill<'a> {
    header: &'a ChunkHeader,
    symbol: &'a str,
    from: Provenance<'a>,
    at: i64,
    rows: Rows,
}

impl Fill<'_> {
    /// One row: the columns before, those of the feed, those after.
    fn row(&mut self, ts: Timestamp, own: impl FnOnce(&mut Rows)) {
        self.rows.text(self.header.stream.exchange.name()).text(self.symbol).time(ts);
        own(&mut self.rows);
        self.rows.text(self.from.source).text(self.from.origin).text(self.from.cid);
        self.rows.time(self.header.start).integer(self.at).end();
        self.at += 1;
    }

    fn all(&mut self, rows: &ChunkRows) {
        match rows {
            ChunkRows::Trades(rows) => {
                for t in rows {
                    self.row(t.ts, |r| {
                        r.text(side_name(t.side)).decimal(t.price).decimal(t.size).text(t.id.as_deref());
                    });
                }
            }
            ChunkRows::Book(rows) => {
                for b in rows {
                    self.row(b.ts, |r| {
                        r.boolean(b.opening).text(side_name(b.side)).decimal(b.price).decimal(b.size);
                    });
                }
            }
            ChunkRows::Ticker(rows) => {
                for TickerRow { ts, ticker: t } in rows {
                    self.row(*ts, |r| {
                        r.decimal(t.bid).decimal(t.bid_size).decimal(t.ask).decimal(t.ask_size).decimal(t.last);
                    });
                }
            }
            ChunkRows::Candles(rows) => rows.iter().for_each(|c| self.row(c.ts, |r| candle_cells(r, &c.candle))),
            ChunkRows::Funding(rows) => {
                for FundingRow { ts, funding: f } in rows {
                    self.row(*ts, |r| {
                        r.decimal(f.rate).time(f.next_funding).decimal(f.mark_price).decimal(f.predicted_rate);
                    });
                }
            }
            ChunkRows::OpenInterest(rows) => {
                for o in rows {
                    self.row(o.ts, |r| {
                        r.decimal(o.open_interest);
                    });
                }
            }
            ChunkRows::Liquidations(rows) => {
                for LiquidationRow { ts, liquidation: l } in rows {
                    self.row(*ts, |r| {
                        r.text(side_name(l.side)).decimal(l.price).decimal(l.size).text(l.id.as_deref());
                    });
                }
            }
            ChunkRows::Prices(rows) => {
                for p in rows {
                    self.row(p.ts, |r| {
                        r.decimal(p.price);
                    });
                }
            }
        }
    }
}

fn candle_cells(r: &mut Rows, c: &Candle) {
    r.time(c.start).time(c.stop).text(c.interval.as_str());
    r.decimal(c.open).decimal(c.high).decimal(c.low).decimal(c.close);
    r.decimal(c.volume).unsigned(c.trades).boolean(c.closed);
}

/// Reads the cells of one row by column name. Missing columns and other types are errors: the file is a stranger's.
struct Cells<'a> {
    batch: &'a RecordBatch,
    row: usize,
}

type Cell<T> = Result<T, LakeError>;

impl<'a> Cells<'a> {
    fn column(&self, name: &str) -> Cell<Option<&'a dyn Array>> {
        let column = self.batch.column_by_name(name);
        let array = column.ok_or_else(|| LakeError::window(format!("column {name} is missing")))?;
        Ok((!array.is_null(self.row)).then_some(array.as_ref()))
    }

    fn read<T>(&self, name: &str, read: impl FnOnce(&'a dyn Array) -> Option<T>) -> Cell<Option<T>> {
        let Some(array) = self.column(name)? else { return Ok(None) };
        let value = read(array);
        value.map(Some).ok_or_else(|| LakeError::window(format!("column {name} is of type {}", array.data_type())))
    }

    fn some<T>(&self, name: &str, value: Cell<Option<T>>) -> Cell<T> {
        value?.ok_or_else(|| LakeError::window(format!("column {name} is null in row {}", self.row)))
    }

    fn text_or(&self, name: &str) -> Cell<Option<&'a str>> {
        self.read(name, |a| a.as_string_view_opt().map(|a| a.value(self.row)))
    }

    fn text(&self, name: &str) -> Cell<&'a str> {
        self.some(name, self.text_or(name))
    }

    fn decimal_or(&self, name: &str) -> Cell<Option<Decimal>> {
        self.read(name, |a| {
            let a = a.as_primitive_opt::<Decimal128Type>()?;
            (a.scale() == DECIMAL_SCALE as i8).then(|| Decimal::new(a.value(self.row), DECIMAL_SCALE).normalized())
        })
    }

    fn decimal(&self, name: &str) -> Cell<Decimal> {
        self.some(name, self.decimal_or(name))
    }

    fn time_or(&self, name: &str) -> Cell<Option<Timestamp>> {
        self.read(name, |a| a.as_primitive_opt::<TimestampNanosecondType>().map(|a| Timestamp(a.value(self.row))))
    }

    fn time(&self, name: &str) -> Cell<Timestamp> {
        self.some(name, self.time_or(name))
    }

    fn integer_or(&self, name: &str) -> Cell<Option<i64>> {
        self.read(name, |a| a.as_primitive_opt::<Int64Type>().map(|a| a.value(self.row)))
    }

    fn boolean_or(&self, name: &str) -> Cell<Option<bool>> {
        self.read(name, |a| a.as_boolean_opt().map(|a| a.value(self.row)))
    }

    fn boolean(&self, name: &str) -> Cell<bool> {
        self.some(name, self.boolean_or(name))
    }

    fn side(&self) -> Cell<Side> {
        match self.text("side")? {
            "buy" => Ok(Side::Buy),
            "sell" => Ok(Side::Sell),
            other => Err(LakeError::window(format!("side {other:?} in row {}", self.row))),
        }
    }

    fn id(&self) -> Cell<Option<String>> {
        Ok(self.text_or("id")?.map(str::to_string))
    }

    fn ts(&self) -> Cell<Timestamp> {
        self.time("ts_exchange")
    }

    /// The columns that the header also says must say the same, or the file shows its readers something else than
    /// what was proven.
    fn check(&self, header: &ChunkHeader, symbol: &str, at: i64) -> Result<(), LakeError> {
        let same = self.text("exchange")? == header.stream.exchange.name()
            && self.text("symbol")? == symbol
            && self.time("window_start")? == header.start
            && self.integer_or("event_index")? == Some(at);
        if same { Ok(()) } else { Err(LakeError::window(format!("row {at} contradicts the header in the footer"))) }
    }
}

/// The chunk's rows again, from those of a table.
pub(crate) fn rows_of(header: &ChunkHeader, batches: &[RecordBatch]) -> Result<ChunkRows, LakeError> {
    let feed = header.stream.feed;
    let mut rows =
        ChunkRows::empty(feed).ok_or_else(|| LakeError::window(format!("feed {feed} has no window files")))?;
    let symbol = header.stream.symbol.to_string();
    let mut at = 0;
    for batch in batches {
        for row in 0..batch.num_rows() {
            let cells = Cells { batch, row };
            cells.check(header, &symbol, at)?;
            push(&mut rows, &cells)?;
            at += 1;
        }
    }
    Ok(rows)
}

fn push(rows: &mut ChunkRows, c: &Cells<'_>) -> Result<(), LakeError> {
    let ts = c.ts()?;
    match rows {
        ChunkRows::Trades(rows) => {
            let (price, size) = (c.decimal("price")?, c.decimal("size")?);
            rows.push(TradeRow { ts, id: c.id()?, side: c.side()?, price, size });
        }
        ChunkRows::Book(rows) => {
            let (price, size) = (c.decimal("price")?, c.decimal("size")?);
            rows.push(BookRow { opening: c.boolean("opening")?, ts, side: c.side()?, price, size });
        }
        ChunkRows::Ticker(rows) => rows.push(TickerRow {
            ts,
            ticker: Ticker {
                bid: c.decimal_or("bid")?,
                bid_size: c.decimal_or("bid_size")?,
                ask: c.decimal_or("ask")?,
                ask_size: c.decimal_or("ask_size")?,
                last: c.decimal_or("last")?,
            },
        }),
        ChunkRows::Candles(rows) => rows.push(CandleRow { ts, candle: candle(c)? }),
        ChunkRows::Funding(rows) => rows.push(FundingRow {
            ts,
            funding: Funding {
                rate: c.decimal("rate")?,
                next_funding: c.time_or("next_funding")?,
                mark_price: c.decimal_or("mark_price")?,
                predicted_rate: c.decimal_or("predicted_rate")?,
            },
        }),
        ChunkRows::OpenInterest(rows) => {
            rows.push(OpenInterestRow { ts, open_interest: c.decimal("open_interest")? });
        }
        ChunkRows::Liquidations(rows) => {
            let (price, size) = (c.decimal("price")?, c.decimal("size")?);
            rows.push(LiquidationRow { ts, liquidation: Liquidation { side: c.side()?, price, size, id: c.id()? } });
        }
        ChunkRows::Prices(rows) => rows.push(PriceRow { ts, price: c.decimal("price")? }),
    }
    Ok(())
}

fn candle(c: &Cells<'_>) -> Result<Candle, LakeError> {
    let trades = c.integer_or("trades")?.map(u64::try_from).transpose();
    Ok(Candle {
        start: c.time("start")?,
        stop: c.time_or("stop")?,
        interval: c.text("interval")?.to_string(),
        open: c.decimal("open")?,
        high: c.decimal("high")?,
        low: c.decimal("low")?,
        close: c.decimal("close")?,
        volume: c.decimal("volume")?,
        trades: trades.map_err(|_| LakeError::window("a number of trades below zero"))?,
        closed: c.boolean_or("closed")?,
    })
}
