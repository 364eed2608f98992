import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { SeenKind } from "../../src/cluster.js";
import type { Fault, ScenarioOptions } from "../scenario.js";
import type { HostReport, HostRequest } from "./silent_host.js";
import type { Stage } from "./stage.js";

/** Some members, and what is to befall them. */
export interface Blow {
  readonly members: readonly string[];
  /** What the others are told of it. */
  readonly kind: SeenKind;
  strike(): void;
  /** Frees what the members still have. */
  cleanUp(): Promise<void>;
}

type Preparation = (stage: Stage, options: ScenarioOptions, repeat: number) => Promise<Blow>;

/** Gets the victims ready: everybody knows them when it resolves. */
export const preparations: Record<Fault, Preparation> = {
  crash: (stage, { kill }) => {
    const victims = takeOut(stage, kill);
    let closed: Promise<unknown> = Promise.resolve();
    const strike = (): void => {
      closed = Promise.all(victims.map(({ node }) => node.close()));
    };
    return Promise.resolve({
      members: victims.map(({ name }) => name),
      kind: "fail",
      strike,
      cleanUp: () => closed.then(),
    });
  },
  leave: (stage, { kill }) => {
    const victims = takeOut(stage, kill);
    let left: Promise<unknown> = Promise.resolve();
    const strike = (): void => {
      left = Promise.all(victims.map(({ node }) => node.leave().then(() => node.close())));
    };
    return Promise.resolve({
      members: victims.map(({ name }) => name),
      kind: "leave",
      strike,
      cleanUp: () => left.then(),
    });
  },
  silent: prepareSilent,
};

/** Victims leave the counts before the blow: what they are told afterwards is of no interest. */
function takeOut({ cluster }: Stage, count: number) {
  return Array.from({ length: count }, () => cluster.remove(cluster.pick()));
}

/** The victims live in a process of their own, which is stopped: no signal to the others, every socket open. */
async function prepareSilent(stage: Stage, { kill, nodes }: ScenarioOptions, repeat: number): Promise<Blow> {
  const { cluster } = stage;
  const members = Array.from({ length: kill }, (_, i) => `silent-${repeat}-${i}`);
  const child = startHost();
  const request: HostRequest = {
    seedAddress: stage.seedAddress,
    nodes: members.map((name, i) => cluster.optionsFor(name, 1_000_000 + 1000 * repeat + i)),
  };
  child.on("message", (report: HostReport) => {
    if ("failed" in report) cluster.noteFailure(report.failed);
  });
  const cleanUp = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  };
  try {
    child.send(request);
    await cluster.until("the joining of the silent nodes", () => cluster.isComplete(nodes), 120_000);
  } catch (error) {
    await cleanUp();
    throw error;
  }
  return { members, kind: "fail", strike: () => child.kill("SIGSTOP"), cleanUp };
}

function startHost(): ChildProcess {
  const child = fork(fileURLToPath(new URL("./silent_host.js", import.meta.url)), { serialization: "advanced" });
  const kill = (): void => {
    child.kill("SIGKILL");
  };
  process.once("exit", kill);
  child.once("exit", () => process.off("exit", kill));
  return child;
}
