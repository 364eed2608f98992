/** A thread of `tattler sim --jobs`: runs the seeds that it is sent. */
import { parentPort } from "node:worker_threads";
import { runSwarm } from "../sim/swarm.js";

parentPort?.on("message", ({ seed, nodes }: { readonly seed: number; readonly nodes: number }) => {
  parentPort?.postMessage(runSwarm(seed, nodes));
});
