/**
 * Answers of an Xnode's agent, field by field as its views have them (`crates/agent/src/views.rs` and the areas of
 * `crates/agent/src/api`). By hand: the agent is not in the contract of the node's gateway, from which the others
 * are made. Its own is `openapi/xnode.json`.
 */
export type * from "./xnode/access";
export type * from "./xnode/alerts";
export type * from "./xnode/applications";
export type * from "./xnode/backups";
export type * from "./xnode/compose";
export type * from "./xnode/costs";
export type * from "./xnode/doors";
export type * from "./xnode/inside";
export type * from "./xnode/joining";
export type * from "./xnode/lending";
export type * from "./xnode/machine";
export type * from "./xnode/moves";
export type * from "./xnode/templates";
