import { afterEach, describe, expect, it } from "vitest";
import { type ChaosAgent, ChaosAgents } from "../support/chaos_agents.js";
import { ChaosClock } from "../support/chaos_clock.js";

const hourMs = 3_600_000;
const minuteMs = 60_000;
/** Several probe intervals, gossip ticks and comparisons of views. */
const whileMs = 4000;

const agents = new ChaosAgents();
const clocks: ChaosClock[] = [];
afterEach(async () => {
  await agents.clear();
  for (const clock of clocks.splice(0)) clock.close();
});

function newClock(): ChaosClock {
  const clock = new ChaosClock();
  clocks.push(clock);
  return clock;
}

/** By how much the time in an agent's latest event is ahead of ours; to the minute. */
const aheadMs = ({ events }: ChaosAgent): number =>
  Math.round((Date.parse(events.at(-1)?.ts ?? "") - Date.now()) / minuteMs) * minuteMs + 0;

const jumps = [6 * hourMs, -12 * hourMs, 30 * 24 * hourMs, 0];

describe("a wall clock that jumps", () => {
  it("in one member by hours, forward and back, changes nothing for anybody", async () => {
    const clock = newClock();
    await agents.startAll(4, (index) => (index === 1 ? { env: clock.env } : {}));
    const jumping = agents.of("n1");
    for (const wallMs of jumps) {
      clock.jumpTo(wallMs);
      await agents.holds(() => agents.failures(), whileMs);
      await agents.spread(jumping, `at ${wallMs}`);
      await agents.agree();
      expect(aheadMs(jumping)).toBe(wallMs);
    }
    await agents.dismiss();
    expect(agents.failures()).toEqual([]);
  });

  it("while a member is stopped and datagrams wait for it, changes nothing", async () => {
    const clock = newClock();
    await agents.startAll(4, (index) => (index === 1 ? { env: clock.env } : {}));
    const jumping = agents.of("n1");
    for (const wallMs of jumps) {
      jumping.process.kill("SIGSTOP");
      await agents.holds(() => agents.failures(), 1000);
      clock.jumpTo(wallMs);
      jumping.process.kill("SIGCONT");
      await agents.spread(agents.of("n0"), `at ${wallMs}`);
      await agents.agree();
      expect(aheadMs(jumping)).toBe(wallMs);
    }
    await agents.dismiss();
    expect(agents.failures()).toEqual([]);
  });

  it("in all members differently, changes nothing for those who crash, join and leave", async () => {
    const own = [newClock(), newClock(), newClock(), newClock(), newClock()];
    await agents.startAll(4, (index) => ({ env: own[index]!.env }));
    for (const [index, clock] of own.entries()) clock.jumpTo((index - 2) * 7 * hourMs);
    const [victim] = await agents.kill("n3");
    await agents.told("fail", "n3");
    await agents.restart(victim!);
    await agents.start("n4", { env: own[4]!.env });
    for (const [index, clock] of own.entries()) clock.jumpTo((2 - index) * 7 * hourMs);
    await agents.agree();
    await agents.leave("n2");
    await agents.told("leave", "n2");
    await agents.dismiss();
    expect(agents.failures().filter((line) => !line.endsWith(": n3"))).toEqual([]);
  });
});

describe("a machine that was paused", () => {
  it("goes on later, by both clocks, and accuses nobody", async () => {
    const clock = newClock();
    await agents.startAll(5, (index) => (index === 1 ? { env: clock.env } : {}));
    const resumed = agents.of("n1");
    let wallMs = 0;
    for (const ms of [2000, minuteMs, hourMs, 30 * hourMs]) {
      clock.resumeAfter(ms);
      wallMs += ms;
      await agents.holds(() => agents.failures(), whileMs);
      await agents.spread(resumed, `after ${ms}`);
      await agents.agree();
    }
    expect(aheadMs(resumed)).toBe(Math.round(wallMs / minuteMs) * minuteMs);
    await agents.dismiss();
    expect(agents.failures()).toEqual([]);
  });
});
