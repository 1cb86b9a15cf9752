import { createBrowserRouter } from "react-router";
import { Explored } from "./pages/Explored";
import { Home } from "./pages/Home";
import { ErrorPage, NotFound } from "./shell/ErrorPage";
import { Shell } from "./shell/Shell";

/** Every address of Studio. Pages with large libraries (charts, the editor) come when they are asked for. */
export const router = createBrowserRouter([
  {
    path: "visit",
    errorElement: <ErrorPage />,
    HydrateFallback: () => null,
    lazy: async () => ({ Component: (await import("./shell/VisitPage")).VisitPage }),
  },
  {
    element: <Shell />,
    errorElement: <ErrorPage />,
    HydrateFallback: () => null,
    children: [
      {
        errorElement: <ErrorPage />,
        children: [
          { index: true, element: <Home /> },
          {
            path: "blocks/:height",
            lazy: async () => ({ Component: (await import("./pages/network/BlockPage")).BlockPage }),
          },
          {
            path: "blocks",
            lazy: async () => ({ Component: (await import("./pages/network/BlocksPage")).BlocksPage }),
          },
          // Addresses that wallets make of an explorer's (EIP-3091).
          { path: "block/:name", element: <Explored of="blocks" /> },
          { path: "tx/:name", element: <Explored of="transactions" /> },
          { path: "address/:name", element: <Explored of="accounts" /> },
          {
            path: "transactions",
            lazy: async () => ({
              Component: (await import("./pages/ledger/TransactionsPage")).TransactionsPage,
            }),
          },
          {
            path: "transactions/:hash",
            lazy: async () => ({
              Component: (await import("./pages/ledger/TransactionPage")).TransactionPage,
            }),
          },
          {
            path: "accounts/:address",
            lazy: async () => ({ Component: (await import("./pages/ledger/AccountPage")).AccountPage }),
          },
          {
            path: "actions",
            lazy: async () => ({ Component: (await import("./pages/ledger/ActionsPage")).ActionsPage }),
          },
          {
            path: "actions/:kind",
            lazy: async () => ({ Component: (await import("./pages/ledger/ActionPage")).ActionPage }),
          },
          {
            path: "supply",
            lazy: async () => ({ Component: (await import("./pages/ledger/SupplyPage")).SupplyPage }),
          },
          {
            path: "deposits",
            lazy: async () => ({ Component: (await import("./pages/explorer/DepositsPage")).DepositsPage }),
          },
          {
            path: "explorer",
            lazy: async () => ({ Component: (await import("./pages/explorer/ExplorerPage")).ExplorerPage }),
          },
          {
            path: "search",
            lazy: async () => ({ Component: (await import("./pages/explorer/SearchPage")).SearchPage }),
          },
          {
            path: "events",
            lazy: async () => ({ Component: (await import("./pages/explorer/EventsPage")).EventsPage }),
          },
          {
            path: "validators",
            lazy: async () => ({
              Component: (await import("./pages/explorer/ValidatorsPage")).ValidatorsPage,
            }),
          },
          {
            path: "chunks",
            lazy: async () => ({ Component: (await import("./pages/explorer/ChunksPage")).ChunksPage }),
          },
          {
            path: "epochs",
            lazy: async () => ({ Component: (await import("./pages/explorer/EpochsPage")).EpochsPage }),
          },
          {
            path: "epochs/:number",
            lazy: async () => ({ Component: (await import("./pages/explorer/EpochsPage")).EpochPage }),
          },
          {
            path: "stamps",
            lazy: async () => ({ Component: (await import("./pages/explorer/StampsPage")).StampsPage }),
          },
          {
            path: "stamps/:hash",
            lazy: async () => ({ Component: (await import("./pages/explorer/StampPage")).StampPage }),
          },
          {
            path: "incidents",
            lazy: async () => ({ Component: (await import("./pages/explorer/IncidentPage")).IncidentsPage }),
          },
          {
            path: "incidents/:id",
            lazy: async () => ({ Component: (await import("./pages/explorer/IncidentPage")).IncidentPage }),
          },
          {
            path: "evidence",
            lazy: async () => ({ Component: (await import("./pages/explorer/EvidencePage")).EvidencePage }),
          },
          {
            path: "parameters",
            lazy: async () => ({
              Component: (await import("./pages/explorer/ParametersPage")).ParametersPage,
            }),
          },
          {
            path: "sources/:source/windows/:window",
            lazy: async () => ({ Component: (await import("./pages/explorer/WindowPage")).WindowPage }),
          },
          {
            path: "sources/:source",
            lazy: async () => ({ Component: (await import("./pages/data/SourcePage")).SourcePage }),
          },
          {
            path: "chunks/:cid",
            lazy: async () => ({ Component: (await import("./pages/network/ChunkPage")).ChunkPage }),
          },
          {
            path: "upgrades",
            lazy: async () => ({ Component: (await import("./pages/network/UpgradesPage")).UpgradesPage }),
          },
          {
            path: "validators/:address",
            lazy: async () => ({ Component: (await import("./pages/network/ValidatorPage")).ValidatorPage }),
          },
          { path: "data", lazy: async () => ({ Component: (await import("./pages/data/Sources")).Sources }) },
          {
            path: "data/:exchange/:symbol",
            lazy: async () => ({ Component: (await import("./pages/data/Instrument")).Instrument }),
          },
          { path: "sql", lazy: async () => ({ Component: (await import("./pages/sql/Sql")).Sql }) },
          {
            lazy: async () => ({ Component: (await import("./pages/apps/Frame")).Frame }),
            children: [
              { path: "apps", lazy: async () => ({ Component: (await import("./pages/apps/Apps")).Apps }) },
              {
                path: "apps/:name/:tab?",
                lazy: async () => ({
                  Component: (await import("./pages/apps/ApplicationPage")).ApplicationPage,
                }),
              },
              {
                path: "store",
                lazy: async () => ({ Component: (await import("./pages/apps/Store")).Store }),
              },
              {
                path: "store/:template",
                lazy: async () => ({ Component: (await import("./pages/apps/TemplatePage")).TemplatePage }),
              },
              {
                path: "compose",
                lazy: async () => ({
                  Component: (await import("./pages/apps/canvas/ComposePage")).ComposePage,
                }),
              },
              {
                path: "deploy",
                lazy: async () => ({ Component: (await import("./pages/apps/DocumentPage")).DocumentPage }),
              },
              {
                path: "deployments/:generation",
                lazy: async () => ({
                  Component: (await import("./pages/apps/DeploymentPage")).DeploymentPage,
                }),
              },
              {
                path: "node/:tab?",
                lazy: async () => ({ Component: (await import("./pages/node/NodePage")).NodePage }),
              },
            ],
          },
          { path: "*", element: <NotFound /> },
        ],
      },
    ],
  },
]);
