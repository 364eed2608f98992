import { tattlerError } from "../errors.js";
import type { Directory } from "../swim/effects.js";
import type { Swim } from "../swim/swim.js";
import type { Endpoint, Hub, MemberHandle } from "../wire/addon.js";
import type { RingReader } from "../wire/receive.js";

export interface PingReply {
  /** From the send call to the arrival of the answer at our socket, in milliseconds. */
  readonly rttMs: number;
  /** What the member puts in its acks; mostly empty. */
  readonly payload: Uint8Array;
}

interface Pending {
  readonly target: MemberHandle;
  readonly sentAtMs: number;
  finish(result: PingReply | Error): void;
}

/** The pings that the application asks for (M-015): direct only, and judging nobody. */
export class Pings {
  readonly #clock: Pick<Hub, "nowMs">;
  readonly #directory: Directory;
  readonly #endpoint: Pick<Endpoint, "ping">;
  readonly #swim: Swim;
  readonly #pending = new Map<number, Pending>();

  constructor(clock: Pick<Hub, "nowMs">, directory: Directory, endpoint: Pick<Endpoint, "ping">, swim: Swim) {
    this.#clock = clock;
    this.#directory = directory;
    this.#endpoint = endpoint;
    this.#swim = swim;
  }

  /** Errors: TATTLER_PING_TIMEOUT, TATTLER_ABORTED, TATTLER_BUSY, TATTLER_CLOSED. */
  ping(target: MemberHandle, timeoutMs: number, signal?: AbortSignal): Promise<PingReply> {
    const name = this.#directory.nameOf(target);
    return new Promise((resolve, reject) => {
      const abort = (): void => finish(tattlerError("TATTLER_ABORTED", [`the ping of ${name}`], signal?.reason));
      if (signal?.aborted) return reject(tattlerError("TATTLER_ABORTED", [`the ping of ${name}`], signal.reason));
      const seq = this.#swim.takeSeq();
      const sentAtMs = this.#clock.nowMs();
      if (!this.#endpoint.ping(this.#swim.roster.addressOf(target), target, seq)) {
        return reject(tattlerError("TATTLER_BUSY"));
      }
      const timeout = (): void => finish(tattlerError("TATTLER_PING_TIMEOUT", [name, String(timeoutMs)]));
      const timer = setTimeout(timeout, timeoutMs);
      signal?.addEventListener("abort", abort, { once: true });
      const finish = (result: PingReply | Error): void => {
        this.#pending.delete(seq);
        this.#directory.release(target);
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        if (result instanceof Error) reject(result);
        else resolve(result);
      };
      this.#directory.retain(target);
      this.#pending.set(seq, { target, sentAtMs, finish });
    });
  }

  /** Takes the answer if one of our pings waits for it. */
  handleAck(reader: RingReader): void {
    const pending = this.#pending.get(reader.seq);
    if (pending === undefined || reader.from !== pending.target) return;
    pending.finish({ rttMs: reader.receivedAtMs - pending.sentAtMs, payload: reader.payload() });
  }

  close(): void {
    for (const { finish } of [...this.#pending.values()]) finish(tattlerError("TATTLER_CLOSED"));
  }
}
