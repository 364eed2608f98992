import { beforeEach, describe, expect, it } from "vitest";
import { Errands } from "../../src/swim/errand.js";
import type { AddressHandle, MemberHandle } from "../../src/wire/addon.js";
import { ipOf, Recorder } from "../support/recorder.js";

const probeTimeoutMs = 500;
const never = Number.POSITIVE_INFINITY;

let recorder: Recorder;
let errands: Errands;
let seq: number;
let requester: AddressHandle;
let target: MemberHandle;
let address: AddressHandle;

beforeEach(() => {
  recorder = new Recorder();
  seq = 100;
  errands = new Errands(recorder, () => ++seq, probeTimeoutMs);
  requester = recorder.directory.internAddress(ipOf(1), 7946);
  target = recorder.directory.intern("target");
  address = recorder.directory.internAddress(ipOf(2), 7946);
});

/** What is held beside the three references of this file. */
function held(): string[] {
  return recorder.directory.held().filter((text) => !text.endsWith(" x1"));
}

const ack = (requesterSeq: number) => ({ verb: "ack", to: requester, seq: requesterSeq, isOwn: false });
const nack = (requesterSeq: number) => ({ verb: "nack", to: requester, seq: requesterSeq });

describe("a ping on behalf of another member (M-106)", () => {
  it("goes out at once, under a sequence number of the helper's own", () => {
    errands.handleRequest(1000, requester, target, address, 7);
    expect(recorder.take()).toEqual([{ verb: "ping", to: address, target, seq: 101 }]);
  });

  it("has its ack passed on under the requester's number, once", () => {
    errands.handleRequest(1000, requester, target, address, 7);
    recorder.take();
    errands.handleAck(101);
    errands.handleAck(101);
    expect(recorder.take()).toEqual([ack(7)]);
    errands.advance(1e9);
    expect([recorder.take(), errands.nextVerdictMs()]).toEqual([[], never]);
  });

  it("passes no ack on that is not of its own number", () => {
    errands.handleRequest(1000, requester, target, address, 7);
    recorder.take();
    errands.handleAck(7);
    errands.handleAck(102);
    expect(recorder.take()).toEqual([]);
  });

  it("keeps several apart, though their requesters use the same number", () => {
    const other = recorder.directory.internAddress(ipOf(3), 7946);
    errands.handleRequest(1000, requester, target, address, 7);
    errands.handleRequest(1000, other, target, address, 7);
    recorder.take();
    errands.handleAck(102);
    expect(recorder.take()).toEqual([{ verb: "ack", to: other, seq: 7, isOwn: false }]);
    errands.handleAck(101);
    expect(recorder.take()).toEqual([ack(7)]);
  });
});

describe("the nack (M-107, E-04, T-043)", () => {
  beforeEach(() => {
    errands.handleRequest(1000, requester, target, address, 7);
    recorder.take();
  });

  it("leaves after 80 % of the probe time-out, so that it arrives before the verdict", () => {
    expect(errands.nextVerdictMs()).toBe(1400);
    errands.advance(1399.9);
    expect(recorder.take()).toEqual([]);
    errands.advance(1400);
    expect(recorder.take()).toEqual([nack(7)]);
  });

  it("leaves once", () => {
    errands.advance(1400);
    errands.advance(1500);
    errands.advance(5000);
    expect(recorder.take()).toEqual([nack(7)]);
  });

  it("does not stop an ack that comes later from being passed on", () => {
    errands.advance(1400);
    errands.handleAck(101);
    expect(recorder.take()).toEqual([nack(7), ack(7)]);
  });

  it("is the last word when the ack comes after twice the probe time-out", () => {
    errands.advance(1400);
    expect(errands.nextVerdictMs()).toBe(2000);
    errands.advance(2000);
    errands.handleAck(101);
    expect(recorder.take()).toEqual([nack(7)]);
    expect([errands.nextVerdictMs(), held()]).toEqual([never, []]);
  });

  it("is not sent while what arrived in time is unhandled, and never after its ack", () => {
    errands.advance(1390);
    errands.handleAck(101);
    errands.advance(9000);
    expect(recorder.take()).toEqual([ack(7)]);
  });

  it("is sent even by a helper that was stalled past the end", () => {
    errands.advance(60_000);
    expect([recorder.take(), errands.nextVerdictMs()]).toEqual([[nack(7)], never]);
  });
});

describe("requests that are refused", () => {
  it("are those about a member nobody knows: the nack comes at once", () => {
    errands.handleRequest(1000, requester, 0, address, 7);
    expect(recorder.take()).toEqual([nack(7)]);
    expect([errands.refused, errands.nextVerdictMs(), held()]).toEqual([1, never, []]);
  });

  it("are those beyond 1,024 at once", () => {
    for (let i = 0; i < 1024; i++) errands.handleRequest(1000, requester, target, address, i);
    expect([recorder.take().every((call) => call.verb === "ping"), errands.refused]).toEqual([true, 0]);
    errands.handleRequest(1000, requester, target, address, 5000);
    expect([recorder.take(), errands.refused]).toEqual([[nack(5000)], 1]);
    errands.handleAck(101);
    recorder.take();
    errands.handleRequest(1000, requester, target, address, 5001);
    expect(recorder.take().map((call) => call.verb)).toEqual(["ping"]);
  });
});

describe("the requester's address", () => {
  it("is held while its answer is outstanding, and given back with the answer", () => {
    errands.handleRequest(1000, requester, target, address, 7);
    recorder.directory.releaseAddress(requester);
    expect(() => recorder.directory.addresses.textOf(requester)).not.toThrow();
    errands.handleAck(101);
    expect(() => recorder.directory.addresses.textOf(requester)).toThrow("dead handle");
  });

  it("is given back when the errand is forgotten, and for all at the end", () => {
    for (let i = 0; i < 5; i++) errands.handleRequest(1000, requester, target, address, i);
    expect(held().length).toBe(1);
    errands.advance(2000);
    expect(held()).toEqual([]);
    for (let i = 0; i < 5; i++) errands.handleRequest(3000, requester, target, address, i);
    errands.clear();
    expect([held(), errands.nextVerdictMs()]).toEqual([[], never]);
  });
});
