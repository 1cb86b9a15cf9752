/** The contract's types by their names; all of them are generated from `openapi/openmesh.json` (`npm run generate`). */
import type { components } from "./openapi";

type Schemas = components["schemas"];

export type AccountInfo = Schemas["AccountInfo"];
export type ActionField = Schemas["ActionField"];
export type ActionInfo = Schemas["ActionInfo"];
export type ActionRequest = Schemas["ActionRequest"];
export type ActionValue = Schemas["ActionValue"];
export type AgreementCell = Schemas["AgreementCell"];
export type AgreementMatrix = Schemas["AgreementMatrix"];
export type AgreementRow = Schemas["AgreementRow"];
export type ApiError = Schemas["ApiError"];
export type AttestationInfo = Schemas["AttestationInfo"];
export type BlockDetail = Schemas["BlockDetail"];
export type BlockSummary = Schemas["BlockSummary"];
export type BookView = Schemas["BookView"];
export type CandleView = Schemas["CandleView"];
export type Catalogue = Schemas["Catalogue"];
export type ChunkInfo = Schemas["ChunkInfo"];
export type ChunkStatus = Schemas["ChunkStatus"];
export type DepositInfo = Schemas["DepositInfo"];
export type EpochDetail = Schemas["EpochDetail"];
export type EpochInfo = Schemas["EpochInfo"];
export type EventInfo = Schemas["EventInfo"];
export type EventKind = Schemas["EventKind"];
export type EvidenceInfo = Schemas["EvidenceInfo"];
export type FieldValue = Schemas["FieldValue"];
export type Feed = Schemas["Feed"];
export type IncidentInfo = Schemas["IncidentInfo"];
export type MarketEvent = Schemas["MarketEvent"];
export type NonceResponse = Schemas["NonceResponse"];
export type Origin = Schemas["Origin"];
export type ParameterInfo = Schemas["ParameterInfo"];
export type PoolGroup = Schemas["PoolGroup"];
export type PoolInfo = Schemas["PoolInfo"];
export type SearchHit = Schemas["SearchHit"];
export type SearchKind = Schemas["SearchKind"];
export type SessionInfo = Schemas["SessionInfo"];
export type SourceInfo = Schemas["SourceInfo"];
export type SourceKind = Schemas["SourceKind"];
export type SqlColumn = Schemas["SqlColumn"];
export type SqlResponse = Schemas["SqlResponse"];
export type SqlValue = Schemas["SqlValue"];
export type StampInfo = Schemas["StampInfo"];
export type Status = Schemas["Status"];
export type StreamMessage = Schemas["StreamMessage"];
export type SupplyInfo = Schemas["SupplyInfo"];
export type TableInfo = Schemas["TableInfo"];
export type TablesStatus = Schemas["TablesStatus"];
export type TradeView = Schemas["TradeView"];
export type TransactionAccepted = Schemas["TransactionAccepted"];
export type Topic = Schemas["Topic"];
export type TransactionDetail = Schemas["TransactionDetail"];
export type TransactionSummary = Schemas["TransactionSummary"];
export type TroubleKind = Schemas["TroubleKind"];
export type TypedDataResponse = Schemas["TypedDataResponse"];
export type UpgradeInfo = Schemas["UpgradeInfo"];
export type UpgradePlanInfo = Schemas["UpgradePlanInfo"];
export type UpgradeValidator = Schemas["UpgradeValidator"];
export type ValidatorInfo = Schemas["ValidatorInfo"];
export type Vote = Schemas["Vote"];
export type WindowInfo = Schemas["WindowInfo"];
export type WindowStatus = Schemas["WindowStatus"];

/** Price and size. */
export type Level = BookView["bids"][number];

/** One page of a list. */
export interface Page<T> {
  items: T[];
  next?: string | null;
}

/** Candles with the newest trade of the stream that is counted in them. */
export type CandleList = Schemas["CandleList"];

/** A list with the origin of what is in it. */
export interface Listing<T> {
  origin: Origin;
  items: T[];
}
