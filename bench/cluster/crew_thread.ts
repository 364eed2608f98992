import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { scenarios } from "../cases/scenarios.js";
import type { ScenarioOptions } from "../scenario.js";
import { Hand, type Post } from "./crew.js";

// Runs only as a thread: its report is that of rank 0, so nobody asks for it.

const post = workerData as Post;
const play = scenarios[post.name];
if (play === undefined) throw new Error(`there is no case ${post.name}`);
await play(post.options as ScenarioOptions, new Hand(post, parentPort as MessagePort));
