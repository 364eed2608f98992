import { ByteBuffer } from "flatbuffers";
import type { AddressHandle, Layout, MemberHandle } from "./addon.js";
import { Address4 } from "./generated/wire/address4.js";
import { Address6 } from "./generated/wire/address6.js";
import { Alive } from "./generated/wire/alive.js";
import type { Evidence } from "./generated/wire/evidence.js";
import { PingRequest } from "./generated/wire/ping-request.js";
import type { RecordKind } from "./generated/wire/record-kind.js";
import { Versions } from "./generated/wire/versions.js";
import { writeMappedIpv4 } from "./ip.js";
import type { AliveView } from "./records.js";
import { type PackedVersions, readVersions } from "./versions.js";

/**
 * Reads descriptors and what they point to, in place: one object for all of them. select() moves it; whatever it
 * returns is valid until the next select() or until the records are consumed.
 */
export class RingReader implements AliveView {
  /** A copy: reading properties of an object that C++ made is slow. */
  readonly #layout: Layout;
  readonly #words: Uint32Array;
  readonly #times: Float64Array;
  readonly #slab: Uint8Array;
  readonly #buffer: ByteBuffer;
  readonly #alive = new Alive();
  readonly #request = new PingRequest();
  readonly #v4 = new Address4();
  readonly #v6 = new Address6();
  readonly #versions = new Versions();
  readonly #mask: number;
  readonly #recordWords: number;
  #at = 0;

  constructor(layout: Layout, ring: ArrayBuffer, slab: ArrayBuffer) {
    this.#layout = { ...layout };
    this.#recordWords = layout.recordWords;
    this.#words = new Uint32Array(ring);
    this.#times = new Float64Array(ring);
    this.#slab = new Uint8Array(slab);
    this.#buffer = new ByteBuffer(this.#slab);
    this.#mask = this.#words.length / layout.recordWords - 1;
  }

  /** Moves to a position of the ring, which may lie past its end. */
  select(position: number): void {
    this.#at = (position & this.#mask) * this.#recordWords;
  }

  get ringIndex(): number {
    return this.#at / this.#recordWords;
  }

  get kind(): RecordKind {
    return this.#words[this.#at + this.#layout.kind] as RecordKind;
  }

  get endpoint(): number {
    return this.#words[this.#at + this.#layout.endpoint] as number;
  }

  get subject(): MemberHandle {
    return this.#words[this.#at + this.#layout.subject] as MemberHandle;
  }

  get from(): MemberHandle {
    return this.#words[this.#at + this.#layout.from] as MemberHandle;
  }

  get incarnation(): number {
    return this.#words[this.#at + this.#layout.incarnation] as number;
  }

  get seq(): number {
    return this.#words[this.#at + this.#layout.seq] as number;
  }

  get source(): AddressHandle {
    return this.#words[this.#at + this.#layout.source] as AddressHandle;
  }

  get address(): AddressHandle {
    return this.#words[this.#at + this.#layout.address] as AddressHandle;
  }

  get sequenceLow(): number {
    return this.#words[this.#at + this.#layout.wideLow] as number;
  }

  get sequenceHigh(): number {
    return this.#words[this.#at + this.#layout.wideHigh] as number;
  }

  /** Of a ping or an ack; 0 and 0: none. */
  get digestLow(): number {
    return this.#words[this.#at + this.#layout.wideLow] as number;
  }

  get digestHigh(): number {
    return this.#words[this.#at + this.#layout.wideHigh] as number;
  }

  get receivedAtMs(): number {
    return this.#times[(this.#at >> 1) + this.#layout.receivedAtFloat64] as number;
  }

  get isAnswered(): boolean {
    return (this.#flags & this.#layout.flagAnswered) !== 0;
  }

  get isDirect(): boolean {
    return (this.#flags & this.#layout.flagDirect) !== 0;
  }

  get evidence(): Evidence {
    return ((this.#flags >>> this.#layout.evidenceShift) & 0xff) as Evidence;
  }

  /** How many members have passed a message on; 255: at least. */
  get hops(): number {
    return (this.#flags >>> this.#layout.hopsShift) & 0xff;
  }

  /** The payload of a message or an ack, copied. */
  payload(): Uint8Array {
    const length = this.#words[this.#at + this.#layout.length] as number;
    return this.#slab.slice(this.#offset, this.#offset + length);
  }

  /** Where the datagram came from: copies the IP, returns the port. */
  sourceAddress(ip: Uint8Array): number {
    const prefix = this.#words[this.#at + this.#layout.prefix] as number;
    ip.set(this.#slab.subarray(prefix, prefix + 16));
    return (this.#slab[prefix + 16] as number) | ((this.#slab[prefix + 17] as number) << 8);
  }

  /** Whom a ping request is about: copies the IP, returns the port. */
  requestAddress(ip: Uint8Array): number {
    this.#request.__init(this.#offset, this.#buffer);
    return readAddress(this.#request.v4(this.#v4), this.#request.v6(this.#v6), ip);
  }

  // AliveView

  readonly isHearsay = false;

  name(): string {
    return this.#alive.__init(this.#offset, this.#buffer).name() as string;
  }

  ip(into: Uint8Array): number {
    this.#alive.__init(this.#offset, this.#buffer);
    return readAddress(this.#alive.v4(this.#v4), this.#alive.v6(this.#v6), into);
  }

  meta(): Uint8Array | null {
    const meta = this.#alive.__init(this.#offset, this.#buffer).metaArray();
    return meta === null || meta.length === 0 ? null : meta;
  }

  versions(): PackedVersions {
    return readVersions(this.#alive.__init(this.#offset, this.#buffer).versions(this.#versions));
  }

  get #flags(): number {
    return this.#words[this.#at + this.#layout.flags] as number;
  }

  get #offset(): number {
    return this.#words[this.#at + this.#layout.offset] as number;
  }
}

function readAddress(v4: Address4 | null, v6: Address6 | null, ip: Uint8Array): number {
  if (v4 !== null) {
    writeMappedIpv4(v4.ip(), ip);
    return v4.port();
  }
  if (v6 === null) return 0;
  for (let i = 0; i < 16; i++) ip[i] = v6.ip(i) as number;
  return v6.port();
}
