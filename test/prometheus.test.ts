import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { newStreamStats } from "../src/io/stream_limits.js";
import type { NodeStats } from "../src/node.js";
import { prometheusText } from "../src/prometheus.js";
import { Counter } from "../src/wire/generated/wire/counter.js";
import { closeAfterEach, newCluster, newNode, until } from "./support/nodes.js";

closeAfterEach();

interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

interface Family {
  readonly type: string;
  readonly help: string;
  readonly samples: Sample[];
}

/** The grammar of the text format, strictly: each family is HELP, TYPE and its samples, and comes once. */
function parse(text: string): Map<string, Family> {
  const families = new Map<string, Family>();
  const lines = text.split("\n");
  expect(lines.pop()).toBe("");
  let current = "";
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i] as string;
    const head = /^# HELP ([a-z_]+) (\S.*)$/.exec(line);
    if (head === null) {
      const sample = parseSample(line);
      expect(sample.name).toBe(current);
      families.get(current)?.samples.push(sample);
      continue;
    }
    const [, name = "", help = ""] = head;
    const type = /^# TYPE ([a-z_]+) (counter|gauge)$/.exec(lines[++i] ?? "");
    expect([type?.[1], families.has(name)]).toEqual([name, false]);
    families.set(name, { help, type: type?.[2] ?? "", samples: [] });
    current = name;
  }
  return families;
}

function parseSample(line: string): Sample {
  const match = /^([a-z_]+)(?:\{(.*)\})? (\d+|\d+\.\d+|\d\.?\d*e\+\d+|NaN|[+-]Inf)$/.exec(line);
  if (match === null) throw new Error(`no sample: ${line}`);
  const [, name = "", inner = "", value = ""] = match;
  const labels: Record<string, string> = {};
  let rest = inner;
  while (rest !== "") {
    const pair = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"(?:,(?=.)|$)/.exec(rest);
    if (pair === null) throw new Error(`no label: ${rest}`);
    const [all, label = "", text = ""] = pair;
    expect(labels).not.toHaveProperty(label);
    labels[label] = text.replace(/\\(.)/g, (_, escaped: string) => (escaped === "n" ? "\n" : escaped));
    rest = rest.slice(all.length);
  }
  return { name, labels, value: Number(value.replace("Inf", "Infinity")) };
}

const samplesOf = (text: string): Sample[] => [...parse(text).values()].flatMap(({ samples }) => samples);
const keyOf = ({ name, labels }: Sample): string => name + JSON.stringify(Object.entries(labels).sort());

/** Stats in which every number is another, so that each can be found again. */
function distinctStats({ counters, streams, ...rest }: NodeStats): { stats: NodeStats; values: number[] } {
  let next = 1000;
  const values: number[] = [];
  const number = <T extends object>(of: T): T => {
    return Object.fromEntries(Object.keys(of).map((key) => [key, values[values.push(next++) - 1]])) as T;
  };
  const stats = { ...number(rest), counters: number(counters), streams: number(streams) } as unknown as NodeStats;
  return { stats, values };
}

describe("the Prometheus text", () => {
  it("has every counter and every field of the stats, once, in families of unique names", async () => {
    const node = await newNode("a");
    expect(Object.keys(node.stats.counters)).toHaveLength(Counter.count);
    expect(Object.keys(node.stats.streams)).toEqual(Object.keys(newStreamStats()));
    const { stats, values } = distinctStats(node.stats);
    const samples = samplesOf(prometheusText(stats));
    expect(samples.map(({ value }) => value).sort()).toEqual(values.sort());
    expect(new Set(samples.map(keyOf)).size).toBe(samples.length);
    for (const [name, { type }] of parse(prometheusText(stats))) {
      expect([name, type]).toEqual([expect.stringMatching(/^tattler_/), name.endsWith("_total") ? "counter" : "gauge"]);
    }
  });

  it("names them as documented", async () => {
    const { stats } = distinctStats((await newNode("a")).stats);
    const samples = samplesOf(prometheusText(stats));
    const find = (name: string, labels: Record<string, string> = {}): number | undefined =>
      samples.find((sample) => keyOf(sample) === keyOf({ name, labels, value: 0 }))?.value;
    expect(find("tattler_members", { state: "suspect" })).toBe(stats.suspect);
    expect(find("tattler_health_score")).toBe(stats.health);
    expect(find("tattler_queue_records", { kind: "message" })).toBe(stats.messageDepth);
    expect(find("tattler_datagrams_sent_total")).toBe(stats.counters.datagramsSent);
    expect(find("tattler_drops_total", { reason: "unknown_key" })).toBe(stats.counters.dropUnknownKey);
    expect(find("tattler_stream_faults_total", { fault: "seal" })).toBe(stats.streams.rejectedSeal);
    expect(find("tattler_syncs_total", { outcome: "failed" })).toBe(stats.syncsFailed);
  });

  it("keeps labels as they are, whatever is in them", async () => {
    const { stats } = await newNode("a");
    const nasty = fc.string({ unit: fc.constantFrom("\\", '"', "\n", ",", "}", "=", "a", "ä", " ") });
    fc.assert(
      fc.property(nasty, nasty, (zone, team) => {
        for (const { labels } of samplesOf(prometheusText(stats, { zone, team }))) {
          expect(labels).toMatchObject({ zone, team });
        }
      }),
      { numRuns: 50 },
    );
  });

  it.each(["", "0a", "a-b", "__a", "ä", "a b", "node", "reason"])("refuses a label called %j", async (name) => {
    const { stats } = await newNode("a");
    expect(() => prometheusText(stats, { [name]: "x" })).toThrow(/^argument labels: there can be no label/);
  });

  it("holds several nodes, told apart by their names", async () => {
    const nodes = await newCluster(["a", "b", 'c "3"']);
    await until(() => nodes.every(({ stats }) => stats.counters.datagramsReceived > 0), "datagrams");
    const families = parse(prometheusText(nodes, { zone: "z1" }));
    const members = families.get("tattler_cluster_members")?.samples;
    expect(members).toEqual(
      ["a", "b", 'c "3"'].map((node) => ({ name: "tattler_cluster_members", labels: { zone: "z1", node }, value: 3 })),
    );
    const received = families.get("tattler_datagrams_received_total")?.samples.map(({ value }) => value);
    expect(received?.every((value) => value > 0)).toBe(true);
    const [first] = nodes;
    expect(samplesOf(prometheusText(first as (typeof nodes)[0]))[0]?.labels).toEqual({ node: "a" });
  });
});
