import type { Scenario } from "../scenario.js";
import { cluster } from "./cluster.js";
import { detect } from "./detect.js";
import { steady } from "./steady.js";
import { storm } from "./storm.js";

/** Whole clusters on real sockets, all nodes in one process (those that fall silent in another one). */
export const scenarios: Record<string, Scenario> = { cluster, steady, detect, storm };
