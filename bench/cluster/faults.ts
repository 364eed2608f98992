import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { SeenKind } from "../../src/cluster.js";
import type { Fault, ScenarioOptions } from "../scenario.js";
import type { HostReport, HostRequest } from "./silent_host.js";
import type { Stage } from "./stage.js";

/** Some members of this thread, and what is to befall them. */
export interface Blow {
  readonly members: readonly string[];
  strike(): void;
  /** Frees what the members still have. */
  cleanUp(): Promise<void>;
}

type Preparation = (stage: Stage, options: ScenarioOptions, repeat: number) => Promise<Blow>;

/** What the others are told of it. */
export const told: Record<Fault, SeenKind> = { crash: "fail", silent: "fail", leave: "leave" };

/** Gets the victims ready; everybody has yet to know them. */
export const preparations: Record<Fault, Preparation> = {
  crash: (stage, { kill }) => {
    const victims = takeOut(stage, kill);
    let closed: Promise<unknown> = Promise.resolve();
    const strike = (): void => {
      closed = Promise.all(victims.map(({ node }) => node.close()));
    };
    return Promise.resolve({
      members: victims.map(({ name }) => name),
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
function prepareSilent({ cluster, seedAddress }: Stage, { kill }: ScenarioOptions, repeat: number): Promise<Blow> {
  const members = Array.from({ length: kill }, (_, i) => `silent-${repeat}-${i}`);
  const child = startHost();
  const request: HostRequest = {
    seedAddress,
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
  child.send(request);
  return Promise.resolve({ members, strike: () => child.kill("SIGSTOP"), cleanUp });
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
