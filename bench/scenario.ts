import type { GossipOptions } from "../src/config.js";
import type { Crew } from "./cluster/crew.js";

/** What a scenario is told. All its nodes are in one process, on 127.0.0.1, with AES-256-GCM and the LAN profile. */
export interface ScenarioOptions {
  readonly nodes: number;
  readonly seed: number;
  /** Of JavaScript that the nodes are shared among, each with an I/O thread of its own. */
  readonly threads: number;
  /** Of watching after convergence (cluster, 60), of measuring (steady, 30) or of sending (storm, 10); null: that. */
  readonly seconds: number | null;
  /** For cluster: joins under way at the same time. */
  readonly parallel: number;
  readonly fault: Fault;
  /** Nodes that the fault befalls at the same moment. */
  readonly kill: number;
  readonly repeats: number;
  /** Options of every node that differ from the defaults. */
  readonly options: Partial<GossipOptions>;
}

export const faults = ["crash", "silent", "leave"] as const;
export type Fault = (typeof faults)[number];

/** Of many values; the unit is in the name it stands under. */
export interface Spread {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Figures by name, as the last line of --json has them. */
export interface Report {
  readonly case: string;
  readonly nodes: number;
  readonly falseFailures: number;
  /** What did not come about; the command then fails. */
  readonly problems: readonly string[];
  readonly [figure: string]: number | string | Spread | readonly string[];
}

export type Scenario = (options: ScenarioOptions, crew: Crew) => Promise<Report>;

export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => round(sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0);
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}

/** Three digits after the point: microseconds of what is in milliseconds. */
export function round(value: number): number {
  return Number(value.toFixed(3));
}
