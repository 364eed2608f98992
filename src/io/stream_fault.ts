import { type ErrorCode, type TattlerError, tattlerError } from "../errors.js";
import type { StreamStats } from "./stream_limits.js";

/** Why an exchange ended without success. */
export type FaultKind =
  | "unreachable"
  | "busy"
  | "hello"
  | "cluster"
  | "name"
  | "seal"
  | "malformed"
  | "oversized"
  | "timeout"
  | "truncated"
  | "refused"
  | "joinRefused"
  | "aborted"
  | "closed";

/** Ends an exchange inside the stream transport; users see the TattlerError that faultError() makes of it. */
export class StreamFault extends Error {
  readonly kind: FaultKind;

  constructor(kind: FaultKind, detail: string, cause?: unknown) {
    super(detail, cause === undefined ? undefined : { cause });
    this.kind = kind;
  }
}

export function abortFault(signal: AbortSignal): StreamFault {
  return new StreamFault("aborted", "aborted", signal.reason);
}

/** The error for the caller of an exchange with `address`. */
export function faultError(fault: StreamFault, address: string): TattlerError {
  const code = rows[fault.kind].code;
  if (code === "TATTLER_CLOSED") return tattlerError(code);
  return tattlerError(code, [address, fault.message], fault.cause);
}

export function countFault(stats: StreamStats, kind: FaultKind): void {
  const counter = rows[kind].counter;
  if (counter !== null) stats[counter]++;
}

const rows: Record<FaultKind, { readonly code: ErrorCode; readonly counter: keyof StreamStats | null }> = {
  unreachable: { code: "TATTLER_STREAM_UNREACHABLE", counter: "dialFailed" },
  busy: { code: "TATTLER_STREAM_BUSY", counter: "closedEarly" },
  hello: { code: "TATTLER_STREAM_HELLO", counter: "rejectedHello" },
  cluster: { code: "TATTLER_CLUSTER_MISMATCH", counter: "rejectedCluster" },
  name: { code: "TATTLER_NAME_MISMATCH", counter: "refusedByPeer" },
  seal: { code: "TATTLER_STREAM_UNSEALED", counter: "rejectedSeal" },
  malformed: { code: "TATTLER_STREAM_MALFORMED", counter: "rejectedMalformed" },
  oversized: { code: "TATTLER_STREAM_OVERSIZED", counter: "rejectedOversized" },
  timeout: { code: "TATTLER_STREAM_TIMEOUT", counter: "timedOut" },
  truncated: { code: "TATTLER_STREAM_CLOSED", counter: "closedEarly" },
  refused: { code: "TATTLER_STREAM_REFUSED", counter: "refusedByPeer" },
  joinRefused: { code: "TATTLER_JOIN_REFUSED", counter: "refusedByPeer" },
  aborted: { code: "TATTLER_ABORTED", counter: null },
  closed: { code: "TATTLER_CLOSED", counter: null },
};
