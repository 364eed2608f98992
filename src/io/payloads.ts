import type { Endpoint, MemberHandle } from "../wire/addon.js";
import type { RingReader } from "../wire/receive.js";
import { OnceFilter } from "./once.js";

/** Broadcast origins whose counters are remembered at once. */
const mostOrigins = 4096;

/** The user messages of one node: numbers its broadcasts, and passes those of others on and through, once. */
export class Payloads {
  /** Broadcasts dropped because their origin is not a known member: copies could not be told apart. */
  unknownOrigins = 0;
  readonly #endpoint: Pick<Endpoint, "queueMessage" | "relay">;
  readonly #self: MemberHandle;
  readonly #boot: number;
  readonly #once: OnceFilter;
  #sequence = 0;

  /**
   * @param boot 32 bits, random per start of the node.
   * @param queueRecords broadcasts that an origin may have waiting at once. Its latest leave first, so the first of a
   * full queue come that far behind.
   */
  constructor(
    endpoint: Pick<Endpoint, "queueMessage" | "relay">,
    self: MemberHandle,
    boot: number,
    queueRecords: number,
  ) {
    this.#endpoint = endpoint;
    this.#once = new OnceFilter(mostOrigins, queueRecords);
    this.#self = self;
    this.#boot = boot;
  }

  /** Copies of broadcasts that were not delivered again. */
  get duplicates(): number {
    return this.#once.duplicates;
  }

  /** Queues a broadcast. False when it can never fit a datagram. */
  broadcast(payload: Uint8Array): boolean {
    const isQueued = this.#endpoint.queueMessage(this.#self, this.#sequence, this.#boot, payload);
    if (isQueued) this.#sequence = (this.#sequence + 1) >>> 0;
    return isQueued;
  }

  /** Whether the message is for the user. A broadcast heard for the first time is passed on as well. */
  accept(reader: RingReader): boolean {
    if (reader.isDirect) return true;
    const origin = reader.from;
    if (origin === this.#self) return false;
    if (origin === 0) {
      this.unknownOrigins++;
      return false;
    }
    if (!this.#once.accept(origin, reader.sequenceHigh, reader.sequenceLow)) return false;
    this.#endpoint.relay(reader.ringIndex);
    return true;
  }
}
