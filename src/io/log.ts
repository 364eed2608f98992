import { TattlerError } from "../errors.js";
import type { Logger } from "../options.js";

/** Codes of the lines that a node logs, in their field `event`. Stable; README.md lists what they mean. */
export type LogEvent =
  | "start"
  | "receive_buffer_small"
  | "join"
  | "join_failed"
  | "sync_failed"
  | "sync_refused"
  | `member_${"join" | "update" | "leave" | "suspect" | "fail" | "recover"}`
  | "accusation"
  | "refuted"
  | "probe"
  | "udp_blocked"
  | "deaf"
  | "hearing"
  | "health"
  | "quarantine"
  | "quarantine_over"
  | "name_conflict"
  | "delegate_error"
  | "drops"
  | "leave"
  | "close";

type Fields = Readonly<Record<string, unknown>>;

/** The application's logger, made safe: what it throws changes nothing. Never give it a key or a payload. */
export class Log {
  readonly #logger: Logger | null;
  readonly #node: string;

  /** @param logger null logs nothing. */
  constructor(logger: Logger | null, node: string) {
    this.#logger = logger;
    this.#node = node;
  }

  /** Nobody reads: whoever would have to build something for a line may leave it. */
  get isSilent(): boolean {
    return this.#logger === null;
  }

  trace(event: LogEvent, fields: Fields, message: string): void {
    this.#write("trace", event, fields, message);
  }

  debug(event: LogEvent, fields: Fields, message: string): void {
    this.#write("debug", event, fields, message);
  }

  info(event: LogEvent, fields: Fields, message: string): void {
    this.#write("info", event, fields, message);
  }

  warn(event: LogEvent, fields: Fields, message: string): void {
    this.#write("warn", event, fields, message);
  }

  error(event: LogEvent, fields: Fields, message: string): void {
    this.#write("error", event, fields, message);
  }

  #write(level: keyof Logger, event: LogEvent, fields: Fields, message: string): void {
    if (this.#logger === null) return;
    try {
      const result: unknown = this.#logger[level]({ event, node: this.#node, ...fields }, message);
      if (result instanceof Promise) result.catch(() => {});
    } catch {
      // There is nobody left to tell.
    }
  }
}

/** An exchange with the address failed: with what to do about it. */
export function logFailure(log: Log, event: "sync_failed" | "join_failed", address: string, error: unknown): void {
  if (log.isSilent) return;
  const reason = error instanceof Error ? error.message : String(error);
  const known = error instanceof TattlerError ? { code: error.code, remedy: error.remedy } : {};
  log.warn(event, { address, reason, ...known }, `${event === "join_failed" ? "join" : "state sync"}: ${reason}`);
}

/** This node did not merge the state of a peer. */
export function logRefusal(log: Log, peer: string, reason: string): void {
  log.warn("sync_refused", { peer, reason }, `the state of ${peer} was refused: ${reason}`);
}
