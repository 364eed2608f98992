/** Bounds of the stream transport. Nothing an unauthenticated peer sends costs more than one chunk. */
export interface StreamLimits {
  /** Inbound connections served at once; more are closed unread. Default 128, range 1 to 65535. */
  readonly maxStreams: number;
  /** The same for one remote IP, so that one host cannot take all. Default 64, range 1 to 65535. */
  readonly maxStreamsPerPeer: number;
  /** Reliable messages on their way to one address at once; more wait. Default 8. */
  readonly maxSendsPerPeer: number;
  /** Reliable messages that wait for one address; more are refused. Default 4,096. */
  readonly maxQueuedSends: number;
  /** Longest sealed chunk, in bytes. Default 65,792 (64 KiB and room for the seal). */
  readonly maxChunkBytes: number;
  /** Most bytes received in one exchange. Default 64 MiB. */
  readonly maxExchangeBytes: number;
  /** Most members received in one state sync. Default 65,536. */
  readonly maxSyncRecords: number;
  /** Longest reliable message or application state of a sync, in bytes, both ways. Default 4 MiB. */
  readonly maxMessageBytes: number;
  /** Longest metadata of one member in a sync, in bytes. Default 512 (M-029). */
  readonly maxMetaBytes: number;
  /** From accept to the end of an inbound exchange, in milliseconds. Default 10,000 (M-047). */
  readonly streamTimeoutMs: number;
  /** From connect or accept to the peer's hello, in milliseconds. Default 3,000. */
  readonly helloTimeoutMs: number;
}

export const defaultStreamLimits: StreamLimits = Object.freeze({
  maxStreams: 128,
  maxStreamsPerPeer: 64,
  maxSendsPerPeer: 8,
  maxQueuedSends: 4096,
  maxChunkBytes: 64 * 1024 + 256,
  maxExchangeBytes: 64 * 1024 * 1024,
  maxSyncRecords: 65_536,
  maxMessageBytes: 4 * 1024 * 1024,
  maxMetaBytes: 512,
  streamTimeoutMs: 10_000,
  helloTimeoutMs: 3_000,
});

/** Counters of the stream transport since its start. The rejections count both directions. */
export interface StreamStats {
  /** Inbound connections served. */
  accepted: number;
  /** Inbound connections closed unread because maxStreams were being served. */
  rejectedLimit: number;
  /** Inbound connections closed unread because maxStreamsPerPeer of their IP were being served. */
  rejectedPeerLimit: number;
  /** Inbound connections closed unread because their address is outside `allow`. */
  rejectedAddress: number;
  /** The hello was not ours, or of another version. */
  rejectedHello: number;
  /** The peer belongs to another cluster. */
  rejectedCluster: number;
  /** A chunk did not open: another key, replayed, reordered, forged, or not a Frame. */
  rejectedSeal: number;
  /** A frame opened but makes no sense. */
  rejectedMalformed: number;
  /** A chunk, turn, message or exchange over its limit. */
  rejectedOversized: number;
  /** Exchanges that ran into a deadline. */
  timedOut: number;
  /** The peer went away in the middle. */
  closedEarly: number;
  /** Exchanges that our handlers refused. */
  refused: number;
  /** Exchanges that a peer refused. */
  refusedByPeer: number;
  /** Joins whose joiner learnt of us and then did not agree, or went away; nothing of it was merged. */
  joinsUnconfirmed: number;
  /** Handlers that threw. */
  handlerFailed: number;
  /** The system could not accept a connection (out of descriptors). */
  acceptFailed: number;
  dialed: number;
  /** Dials that did not become a connection. */
  dialFailed: number;
  bytesIn: number;
  bytesOut: number;
  /** Bytes that packing kept off the wire. */
  bytesSaved: number;
}

export function newStreamStats(): StreamStats {
  return {
    accepted: 0,
    rejectedLimit: 0,
    rejectedPeerLimit: 0,
    rejectedAddress: 0,
    rejectedHello: 0,
    rejectedCluster: 0,
    rejectedSeal: 0,
    rejectedMalformed: 0,
    rejectedOversized: 0,
    timedOut: 0,
    closedEarly: 0,
    refused: 0,
    refusedByPeer: 0,
    joinsUnconfirmed: 0,
    handlerFailed: 0,
    acceptFailed: 0,
    dialed: 0,
    dialFailed: 0,
    bytesIn: 0,
    bytesOut: 0,
    bytesSaved: 0,
  };
}
