export type { Backend, GossipOptions, Logger, Profile, VersionRange } from "./config.js";
export type {
  AccusedMember,
  Broadcast,
  BroadcastOutcome,
  Conflict,
  Delegates,
  EvidenceName,
  Member,
  MemberClaim,
  MemberStateName,
  Message,
  NodeEvent,
  NodeEventName,
  NodeEvents,
} from "./delegates.js";
export { type ErrorCode, TattlerError } from "./errors.js";
export type { DropMessage, ProbeMessage, StateMessage, SuspicionMessage } from "./io/diagnostics.js";
export type { JoinAttempt, JoinResult } from "./io/join.js";
export type { HistoryEntry } from "./io/past.js";
export type { PingReply } from "./io/pings.js";
export type { NameServer } from "./io/resolve.js";
export type { StreamStats } from "./io/streams.js";
export type { KeyInfo, KeyOrId, NodeKeyring } from "./keyring.js";
export {
  type BroadcastOptions,
  type CounterName,
  GossipNode,
  type JoinOptions,
  type NodeStats,
  type PingOptions,
  type SendOptions,
} from "./node.js";
export { type MetricsSource, prometheusText } from "./prometheus.js";
export type { SwimStats } from "./swim/stats.js";
