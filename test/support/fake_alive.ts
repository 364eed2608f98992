import type { AliveView, MemberRecord } from "../../src/wire/records.js";

/** An alive as the receive ring or a sync would show it. */
export class FakeAlive implements AliveView {
  readonly isHearsay = false;

  constructor(
    readonly record: MemberRecord,
    readonly ringIndex = -1,
  ) {}

  name(): string {
    return this.record.name;
  }

  ip(into: Uint8Array): number {
    into.set(this.record.ip);
    return this.record.port;
  }

  meta(): Uint8Array | null {
    return this.record.meta.length === 0 ? null : this.record.meta;
  }

  versions(): number {
    return this.record.versions ?? -1;
  }
}
