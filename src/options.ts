import type { VersionRange } from "./wire/versions.js";

export type { VersionRange } from "./wire/versions.js";

/**
 * Options of a node. Only `name` is required. Durations are milliseconds; defaults are those of the LAN profile, which
 * are memberlist's unless said otherwise; `wan` and `local` differ where the tables below say so.
 */
export interface GossipOptions {
  /** Unique name in the cluster: 1 to 128 bytes of UTF-8 without control characters. */
  readonly name: string;
  /**
   * Whether names are of A to Z, a to z, 0 to 9, - and . only (S-059): this node's, or it is not created, and those of
   * others, who are ignored otherwise. Names with control characters always are. Default false.
   */
  readonly validateNames?: boolean;
  /** Preset of timings: `lan` (default), `wan` for high latency, `local` for one machine. */
  readonly profile?: Profile;
  /**
   * Where to listen, UDP and TCP: `host:port`, IPv4, [IPv6] or a name, of which the first address counts. Port 0 picks
   * one. 0.0.0.0 is every IPv4 address, [::] every address of both families. Default 0.0.0.0:7946.
   */
  readonly bind?: string;
  /** Address told to others, `host[:port]`, an IP. Default: the bound one; for a wildcard a private one is chosen. */
  readonly advertise?: string;
  /**
   * Networks that members may be in, such as `["10.0.0.0/8", "fd00::/8", "192.0.2.7"]`, at most 256; an empty list is
   * refused. Datagrams and connections from elsewhere are dropped unread, and nobody with another address is taken as a
   * member, this node included. Default: any.
   */
  readonly allow?: readonly string[];
  /** Cluster name, at most 255 bytes. Clusters of different names never mix. Default "default". */
  readonly cluster?: string;
  /** Keys of 16, 24 or 32 bytes, the first seals. None (default): traffic is not encrypted. */
  readonly keys?: readonly Uint8Array[];
  /**
   * Sealed file of the keys: where there is one it is read and `keys` is ignored, else it is made from `keys`. What
   * `node.keyring` changes is kept in it. Needs `passphrase`. Default: none.
   */
  readonly keyringFile?: string;
  /** Opens keyringFile, by Argon2id. At least 8 bytes. */
  readonly passphrase?: Uint8Array | string;
  /**
   * False while encryption is being rolled out: plaintext is accepted beside what is sealed. Without keys it is never
   * refused. Default true.
   */
  readonly verifyIncoming?: boolean;
  /** False while encryption is being rolled out: we send plaintext although we have keys. Default true. */
  readonly encryptOutgoing?: boolean;
  /** Metadata told to all members, text or bytes, at most metaMaxBytes. Default empty. */
  readonly meta?: Uint8Array | string;
  /** Gossip protocol to speak, of those that this version of tattler understands. Range 1 to 1. Default 1. */
  readonly protocolVersion?: number;
  /**
   * The application's own versions: the lowest and highest that this node understands and the one it speaks, each 0
   * to 255, min <= current <= max. A member that speaks what this node does not understand, or the other way
   * round, is not let in. Default { min: 0, max: 0, current: 0 }.
   */
  readonly applicationVersion?: VersionRange;
  /** Seed of all dice, for reproducible runs. Default: random. */
  readonly seed?: number;
  /** Socket back end: `auto` (default) takes what the platform does best. */
  readonly backend?: Backend;

  /** Time between probes. Range 10 to 3,600,000; 0 disables. Default 1,000 (wan 5,000). */
  readonly probeIntervalMs?: number;
  /** Longest wait for a direct ack; less than probeIntervalMs (E-05). Default 500 (wan 3,000, local 200). */
  readonly probeTimeoutMs?: number;
  /**
   * Shortest wait for a direct ack: in between it follows the round trips seen, mean + 4 x variation (RFC 6298).
   * Range 1 to 3,600,000; 0: always probeTimeoutMs. Default 100 (wan 0, local 50).
   */
  readonly probeTimeoutMinMs?: number;
  /**
   * Wait for the answers of helpers and of TCP, times health + 1; helpers' nacks then confirm the suspicion. Range 10
   * to 3,600,000; 0: the rest of the probe interval, and nacks confirm nothing, as in memberlist. Default 300 (wan 0).
   */
  readonly indirectTimeoutMs?: number;
  /**
   * Whether each interval also probes the member that follows on a ring of all members, so that everybody is probed at
   * least once an interval. Default true.
   */
  readonly ringProbe?: boolean;
  /** Helpers asked to ping an unresponsive member. Range 0 to 32. Default 3 (local 1). */
  readonly indirectChecks?: number;
  /** Whether an unresponsive member is also pinged over TCP. Default true. */
  readonly tcpPing?: boolean;
  /** Time between gossip rounds. Range 10 to 60,000; 0 disables. Default 200 (wan 500, local 100). */
  readonly gossipIntervalMs?: number;
  /** Members gossiped to in each round. Range 1 to 64. Default 3 (wan 4). */
  readonly gossipNodes?: number;
  /**
   * Members told at once of a death, a leave or a refutation by each who learns of it: its successors on so many rings
   * of all members. Range 1 to 4; 0: such news waits for the gossip round too, as in memberlist. Default 4.
   */
  readonly urgentFanout?: number;
  /**
   * Whether ordinary news is sent half as often as retransmitMult says, and less often still when it is heard from
   * others: it stops when it is everywhere. Accusations and refutations are exempt. Default true.
   */
  readonly gossipFeedback?: boolean;
  /** How long the dead still get gossip, and are remembered at least. Default 30,000 (wan 60,000, local 15,000). */
  readonly gossipToTheDeadMs?: number;
  /** A record is sent retransmitMult x ceil(log10(n + 1)) times. Range 1 to 64. Default 4 (local 2). */
  readonly retransmitMult?: number;
  /**
   * Shortest suspicion, once suspicionMult - 2 others confirm it. The accused is told at once, and looked at once more
   * before the verdict. Range 10 to 3,600,000; 0: as suspicionMult says, as in memberlist. Default 2,000 (wan 0, local
   * 1,000).
   */
  readonly suspicionMinMs?: number;
  /** Least suspicion: suspicionMult x max(1, log10 n) x probeIntervalMs. Range 1 to 64. Default 4 (wan 6, local 3). */
  readonly suspicionMult?: number;
  /** Longest suspicion as a multiple of the least. Range 1 to 64. Default 6. */
  readonly suspicionMaxTimeoutMult?: number;
  /**
   * Members whose datagrams for one member are refused by its host ("port unreachable") that make it dead at once,
   * without a suspicion; it may refute. Range 0 to 8; 0: refusals only make probes ask others at once. Default 2
   * (wan 0).
   */
  readonly refusedConfirmations?: number;
  /** Bound of the health score plus 1; time-outs grow up to this factor. Range 1 to 64. Default 8. */
  readonly awarenessMaxMultiplier?: number;
  /**
   * Time between full state syncs, longer from 33 members on. While those who tell their view have ours, and the
   * application has no state to trade, three of four are left out. 0: none. Default 30,000 (wan 60,000, local 15,000).
   */
  readonly pushPullIntervalMs?: number;
  /**
   * How long a dead member is tried again now and then, so that the sides of a partition find each other; 4,096 are
   * remembered. Range 1,000 to 2,592,000,000; 0: only as long as it gets gossip, as in memberlist. Default
   * 86,400,000 (24 h).
   */
  readonly reconnectTimeoutMs?: number;
  /**
   * Pings and acks carry a digest of their sender's view. Where digests differ several times in a row the two views are
   * compared over TCP, and what differs is traded: at most one comparison begun in this time. Range 10 to
   * 3,600,000; 0: no digests. Default 1,000 (wan 5,000).
   */
  readonly digestSyncIntervalMs?: number;
  /** Deadline of one TCP exchange. Range 100 to 600,000. Default 10,000 (wan 30,000, local 1,000). */
  readonly streamTimeoutMs?: number;
  /** After so long dead, a name may be taken by another address. 0 (default): never. */
  readonly deadReclaimMs?: number;
  /** How long pings are answered while JavaScript is busy. 0: JavaScript must answer. Default 5,000. */
  readonly stallToleranceMs?: number;
  /**
   * Pings and ping requests of one address per second that are served, with bursts of twice as many; a member sends a
   * few. Range 1 to 1,000,000; 0: no limit. Default 100.
   */
  readonly pingsPerSecond?: number;
  /**
   * A node that twice within five minutes hears nobody for so long that it is declared dead, or that is accused by
   * many who accuse nobody else while its own probes fail, stays out (`fail` at the others) and judges nobody. It comes
   * back (`recover`) once its links have been good for this long; twice as long the next time, up to 16 times. Links
   * are good while half of the last 20 probes were answered by their targets; with less than half this clock stands
   * still, with less than a third it begins anew. Range 1,000 to 3,600,000; 0: it never stays out, as in memberlist.
   * Default 30,000 (wan 60,000, local 15,000).
   */
  readonly quarantineMs?: number;
  /** A node that hears nobody judges nobody, for at most this long. Default 60,000. */
  readonly deafLimitMs?: number;
  /** Largest datagram sent, header and seal included. Range 512 to 65,507. Default 1,400. */
  readonly datagramBytes?: number;
  /** Longest metadata of any member, in bytes. Range 0 to 4,096, and must fit a datagram. Default 512. */
  readonly metaMaxBytes?: number;
  /** Most records waiting, membership and messages each; then the most sent are dropped. Default 8,192. */
  readonly queueRecords?: number;
  /** Share of each datagram kept for user messages while some wait. Range 0 to 1. Default 0.25. */
  readonly messageShare?: number;
  /** Most members accepted in one state sync. Default 65,536. */
  readonly maxSyncRecords?: number;
  /** Whether state syncs are compressed, with members that do the same (M-062). Default true. */
  readonly compression?: boolean;
  /** Inbound TCP exchanges served at once. Range 1 to 65,535. Default 128. */
  readonly maxStreams?: number;
  /** The same for one remote IP, so that one host cannot take all. Range 1 to 65,535. Default 64. */
  readonly maxStreamsPerPeer?: number;
  /** Reliable messages on their way to one member at once; more wait. Range 1 to 65,535. Default 8. */
  readonly maxSendsPerPeer?: number;
  /** Reliable messages that wait for one member; more fail at once. Range 0 to 1,000,000. Default 4,096. */
  readonly maxQueuedSends?: number;
  /** Most bytes received in one TCP exchange, unpacked ones counted too. Range 128 KiB to 1 GiB. Default 64 MiB. */
  readonly maxExchangeBytes?: number;
  /**
   * Longest reliable message, and longest application state in a sync, in bytes. Must fit maxExchangeBytes with a
   * thirty-second to spare. Range 1 to 64 MiB. Default 4 MiB.
   */
  readonly maxMessageBytes?: number;
  /** How long leave() waits for the leave to spread. Default 5,000. */
  readonly leaveTimeoutMs?: number;
  /**
   * Members of which history() and explain() know the last accusations: those accused most recently, at 140 bytes each.
   * Range 1 to 65,536; 0: none. Default 1,024.
   */
  readonly historyMembers?: number;
  /** Where the node logs, such as pino(). What it throws changes nothing. Default: nowhere. */
  readonly logger?: Logger;
}

/**
 * The part of pino's interface that a node uses; pino's own loggers fit. Each line has a code in the field `event`, the
 * node's name in `node`, and further fields of stable names; README.md lists the codes. Never a key or a payload.
 */
export interface Logger {
  trace(fields: object, message: string): void;
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export type Profile = "lan" | "wan" | "local";
export type Backend = "auto" | "linux" | "posix";
