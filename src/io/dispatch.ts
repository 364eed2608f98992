import type { Directory } from "../swim/effects.js";
import type { Swim } from "../swim/swim.js";
import type { AddressHandle } from "../wire/addon.js";
import { RecordKind } from "../wire/generated/wire/record-kind.js";
import type { RingReader } from "../wire/receive.js";

/** A node that records are handed to. The reader stands on the record, and moves on when the call returns. */
export interface Receiver {
  readonly swim: Swim;
  handleMessage(reader: RingReader): void;
  /** Asked before an alive is applied (M-088). */
  allowsAlive(reader: RingReader): boolean;
  /** The probed member answered directly. */
  handleRoundTrip(reader: RingReader, rttMs: number): void;
  /** An ack that no probe waits for. */
  handlePong(reader: RingReader): void;
}

/** Hands what the receive ring describes to the core it is for. */
export class Dispatcher {
  readonly #directory: Directory;
  readonly #ip = new Uint8Array(16);

  constructor(directory: Directory) {
    this.#directory = directory;
  }

  /** False when nothing was done that moves a deadline or has to be sent: the record was stale, or a mere ping. */
  dispatch(node: Receiver, reader: RingReader): boolean {
    const { swim } = node;
    const { kind } = reader;
    if (kind === RecordKind.alive || kind === RecordKind.suspect || kind === RecordKind.death) {
      // Nearly all gossip in a large cluster ends here.
      if (swim.isStale(kind, reader.subject, reader.incarnation)) {
        if (kind === RecordKind.alive && swim.isElsewhere(reader.subject, reader.address)) {
          // It changes nothing, but a second member goes by that name (M-170).
          swim.handleAlive(reader.receivedAtMs, reader.subject, reader.incarnation, reader);
          return true;
        }
        return false;
      }
    }
    const wasDeaf = kind !== RecordKind.refused && swim.handleHeard(reader.receivedAtMs);
    if (kind === RecordKind.ping) return this.#handlePing(swim, reader) || wasDeaf;
    this.#handle(node, reader, kind);
    return true;
  }

  #handle(node: Receiver, reader: RingReader, kind: Exclude<RecordKind, RecordKind.ping>): void {
    const { swim } = node;
    const nowMs = reader.receivedAtMs;
    switch (kind) {
      case RecordKind.ack: {
        this.#compareDigests(swim, reader);
        const rttMs = swim.handleAck(nowMs, reader.from, reader.seq);
        if (rttMs >= 0) node.handleRoundTrip(reader, rttMs);
        else node.handlePong(reader);
        return;
      }
      case RecordKind.nack:
        return swim.handleNack(nowMs, reader.from, reader.seq);
      case RecordKind.pingRequest:
        return this.#handlePingRequest(node, reader);
      case RecordKind.suspect: {
        const { subject, from, incarnation, evidence, ringIndex } = reader;
        return swim.handleSuspect(nowMs, subject, from, incarnation, evidence, ringIndex);
      }
      case RecordKind.death: {
        const { subject, from, incarnation, evidence, ringIndex } = reader;
        return swim.handleDeath(nowMs, subject, from, incarnation, evidence, ringIndex);
      }
      case RecordKind.alive:
        if (node.allowsAlive(reader)) swim.handleAlive(nowMs, reader.subject, reader.incarnation, reader);
        return;
      case RecordKind.message:
        return node.handleMessage(reader);
      case RecordKind.refused:
        return swim.handleRefused(nowMs, reader.source);
      default:
        return kind satisfies never;
    }
  }

  /** Whether the sender's view is ours, as far as it says. */
  #compareDigests(swim: Swim, reader: RingReader): boolean {
    const { digestLow, digestHigh } = reader;
    if (digestLow === 0 && digestHigh === 0) return true;
    return swim.handleDigest(reader.receivedAtMs, reader.from, digestLow, digestHigh);
  }

  /** False, while nothing happens, for half of all records: it is answered, and who asked knows what we know. */
  #handlePing(swim: Swim, reader: RingReader): boolean {
    const isAgreed = this.#compareDigests(swim, reader);
    if (reader.isAnswered) {
      swim.handlePing(reader.receivedAtMs, reader.from, reader.source, reader.seq, true);
      return !isAgreed;
    }
    const source = this.#internSource(reader);
    swim.handlePing(reader.receivedAtMs, reader.from, source, reader.seq, false);
    this.#directory.releaseAddress(source);
    return true;
  }

  #handlePingRequest(node: Receiver, reader: RingReader): void {
    const source = this.#internSource(reader);
    const address = this.#directory.internAddress(this.#ip, reader.requestAddress(this.#ip));
    node.swim.handlePingRequest(reader.receivedAtMs, source, reader.subject, address, reader.seq);
    this.#directory.releaseAddress(address);
    this.#directory.releaseAddress(source);
  }

  /**
   * The datagram's source, with a reference. From its bytes even when the record has a handle: that one may have
   * been released since, and the core keeps the address of whoever asks it to ping.
   */
  #internSource(reader: RingReader): AddressHandle {
    return this.#directory.internAddress(this.#ip, reader.sourceAddress(this.#ip));
  }
}
