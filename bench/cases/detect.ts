import { sharedMs } from "../cluster/clock.js";
import type { Crew } from "../cluster/crew.js";
import { preparations, told } from "../cluster/faults.js";
import { type Sighting, Sightings } from "../cluster/sightings.js";
import { onStage, type Stage } from "../cluster/stage.js";
import { type Report, type ScenarioOptions, spreadOf } from "../scenario.js";

/** Milliseconds, one value for each victim of each repeat; `know` one for each node that was told. */
interface Times {
  readonly first: number[];
  readonly all: number[];
  readonly know: number[];
  readonly wait: number[];
  readonly verdict: number[];
  readonly spread: number[];
}

/** What one thread saw of one repeat. */
interface Share {
  readonly struckMs: number;
  readonly observers: number;
  readonly sightings: readonly Sighting[];
}

const watchMs = 180_000;

/**
 * From a fault until the others are told. crash: the sockets close. silent: the victims' process is stopped, so nothing
 * reads or answers and every socket stays open. leave: they say so. After each repeat others take the victims' place.
 * The threads have victims in turn.
 */
export function detect(options: ScenarioOptions, crew: Crew): Promise<Report> {
  const { nodes, fault, kill, repeats } = options;
  const most = Math.min(nodes - 2, Math.floor(nodes / crew.size));
  if (kill >= most) throw new Error(`--kill ${kill} leaves nobody to notice; give less than ${most}`);
  return onStage(options, crew, async (stage) => {
    const members = fault === "silent" ? nodes - kill : nodes;
    await stage.open(stage.shareOf(members));
    await stage.gather(members);
    const times: Times = { first: [], all: [], know: [], wait: [], verdict: [], spread: [] };
    for (let repeat = 0; repeat < repeats; repeat++) await observe(stage, options, repeat, times);
    const isLeave = fault === "leave";
    return {
      case: "detect",
      nodes,
      threads: crew.size,
      fault,
      kill,
      repeats,
      firstMs: spreadOf(times.first),
      allMs: spreadOf(times.all),
      knowMs: spreadOf(times.know),
      ...(isLeave ? {} : { waitMs: spreadOf(times.wait), verdictMs: spreadOf(times.verdict) }),
      spreadMs: spreadOf(times.spread),
      ...(await stage.verdict()),
    };
  });
}

async function observe(stage: Stage, options: ScenarioOptions, repeat: number, times: Times): Promise<void> {
  const { cluster, crew } = stage;
  const { fault, nodes, kill, repeats } = options;
  // One process has all who fall silent, so one thread has to start it.
  const striker = fault === "silent" ? 0 : repeat % crew.size;
  const blow = crew.rank === striker ? await preparations[fault](stage, options, repeat) : null;
  try {
    const members = (await crew.share(blow?.members ?? []))[striker] ?? [];
    await stage.complete(nodes, watchMs);
    await stage.settle();
    if (blow !== null) await stage.pass(cluster.random.nextFloat(), "any moment of a probe interval");
    for (const member of members) cluster.expect(member);
    const observers = cluster.seats.length;
    const wanted = observers * members.length;
    const seen = new Sightings(told[fault], members);
    const left = new Set(members);
    cluster.onEvent = (kind, about, observer) => {
      if (kind === "fail" && fault === "leave" && left.has(about)) cluster.falseFailures++;
      if (!left.has(observer)) seen.note(kind, about, observer);
    };
    await stage.step();
    const struckMs = sharedMs();
    blow?.strike();
    const what = `${fault} ${repeat + 1}/${repeats}`;
    const line = (): string => `${what}: ${seen.count}/${wanted} told`;
    await stage.during(line, () => stage.attempt(what, () => seen.count >= wanted, watchMs));
    seen.stop();
    const shares = await crew.share<Share>({ struckMs, observers, sightings: seen.results() });
    collect(shares, shares[striker]?.struckMs ?? 0, times);
  } finally {
    cluster.onEvent = null;
    await blow?.cleanUp();
  }
  if (repeat + 1 === repeats || fault === "silent") return;
  if (blow !== null) await stage.open(kill);
  await stage.gather(nodes);
}

/** Puts together what the threads saw of each victim. */
function collect(shares: readonly Share[], struckMs: number, times: Times): void {
  const observers = shares.reduce((sum, share) => sum + share.observers, 0);
  const sightings = shares.flatMap((share) => share.sightings);
  for (const member of new Set(sightings.map((sighting) => sighting.member))) {
    const of = sightings.filter((sighting) => sighting.member === member);
    const toldMs = of.flatMap((sighting) => sighting.toldMs.map((atMs) => atMs - struckMs)).sort((a, b) => a - b);
    times.know.push(...toldMs);
    const [firstMs, lastMs] = [toldMs[0], toldMs.at(-1)];
    if (firstMs === undefined || lastMs === undefined) continue;
    times.first.push(firstMs);
    const touchedMs = of.map(
      (sighting) => sighting.touchedMs.find((atMs) => atMs >= struckMs) ?? Number.POSITIVE_INFINITY,
    );
    const waitMs = Math.min(...touchedMs.map((atMs) => atMs - struckMs), firstMs);
    times.wait.push(waitMs);
    times.verdict.push(firstMs - waitMs);
    if (toldMs.length < observers) continue;
    times.all.push(lastMs);
    times.spread.push(lastMs - firstMs);
  }
}
