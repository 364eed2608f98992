export type { Backend, GossipOptions, Profile, VersionRange } from "./config.js";
export type {
  Conflict,
  Delegates,
  Member,
  MemberClaim,
  MemberStateName,
  Message,
  NodeEvent,
  NodeEventName,
  NodeEvents,
} from "./delegates.js";
export { type ErrorCode, TattlerError } from "./errors.js";
export type { JoinAttempt, JoinResult } from "./io/join.js";
export type { StreamStats } from "./io/streams.js";
export { type CounterName, GossipNode, type JoinOptions, type NodeStats, type SendOptions } from "./node.js";
export type { SwimStats } from "./swim/swim.js";
