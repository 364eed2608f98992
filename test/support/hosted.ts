/** Nodes with a scripted core over a real driver, to see what the driver does with them. */
import { acquireDriver, type Driver, type Hosted, releaseDriver } from "../../src/io/driver.js";
import type { Swim } from "../../src/swim/swim.js";
import type { AddressHandle, Endpoint, MemberHandle } from "../../src/wire/addon.js";
import type { RingReader } from "../../src/wire/receive.js";
import { loopback } from "./hub.js";

/** One call of the driver, as it was made. */
export interface Call {
  readonly name: string;
  readonly args: readonly unknown[];
  readonly atMs: number;
}

/** Answers as scripted; everything else a core may be asked is only written down. */
export class ScriptedHost implements Hosted {
  heapIndex = -1;
  deadlineMs = Number.POSITIVE_INFINITY;
  isTouched = false;
  isScheduled = false;
  readonly calls: Call[] = [];
  readonly endpoint: Endpoint;
  readonly self: MemberHandle;
  readonly address: AddressHandle;
  readonly driver: Driver;
  /** When the core has something to do; asked after everything that was done to it. */
  nextDeadline: (nowMs: number) => number = () => Number.POSITIVE_INFINITY;
  onAdvance: (nowMs: number, drainedThroughMs: number) => void = () => {};
  onMessage: (reader: RingReader) => void = () => {};
  onSettle: () => void = () => {};
  isStale = (): boolean => false;
  readonly swim: Swim;

  constructor(driver: Driver, name: string) {
    this.driver = driver;
    this.self = driver.hub.intern(name);
    this.endpoint = driver.hub.open({
      ip: loopback,
      port: 0,
      self: this.self,
      cluster: "test",
      keyring: null,
      stallToleranceMs: 5000,
      pingsPerSecond: 0,
      datagramBytes: 1400,
      retransmitMult: 4,
      queueRecords: 4096,
      messageShare: 0.25,
    });
    this.address = driver.hub.internAddress(loopback, this.endpoint.port);
    this.swim = new Proxy({}, { get: (_, name) => this.#answer(String(name)) }) as Swim;
    driver.add(this);
  }

  of(name: string): Call[] {
    return this.calls.filter((call) => call.name === name);
  }

  handleMessage(reader: RingReader): void {
    this.#note("message", [reader.ringIndex]);
    this.onMessage(reader);
  }

  allowsAlive(): boolean {
    return true;
  }

  handlePong(): void {}

  handleRoundTrip(_reader: RingReader, rttMs: number): void {
    this.#note("roundTrip", [rttMs]);
  }

  settle(): void {
    this.#note("settle", []);
    this.onSettle();
  }

  close(): void {
    this.driver.remove(this);
    this.endpoint.close();
  }

  #answer(name: string): (...args: unknown[]) => unknown {
    return (...args) => {
      if (name === "isStale") return this.isStale();
      if (name === "nextDeadline") return this.nextDeadline(args[0] as number);
      this.#note(name, args);
      if (name === "advance") this.onAdvance(args[0] as number, args[1] as number);
      return name === "handleAck" ? 1.5 : undefined;
    };
  }

  #note(name: string, args: readonly unknown[]): void {
    this.calls.push({ name, args, atMs: this.driver.hub.nowMs() });
  }
}

/** A driver with its hosts, for one test. */
export class DriverBench {
  readonly driver = acquireDriver("auto");
  readonly hosts: ScriptedHost[] = [];

  open(count: number): ScriptedHost[] {
    const opened = Array.from({ length: count }, (_, i) => new ScriptedHost(this.driver, `h${this.hosts.length + i}`));
    this.hosts.push(...opened);
    return opened;
  }

  closeOne(host: ScriptedHost): void {
    const index = this.hosts.indexOf(host);
    if (index >= 0) this.hosts.splice(index, 1)[0]?.close();
  }

  close(): void {
    for (const host of this.hosts) host.close();
    releaseDriver("auto");
  }
}
