export type { Broadcast, BroadcastOutcome, Delegates } from "../delegates.js";
export { Checker, type CheckerOptions, type Violation } from "./checker.js";
export {
  type Figures,
  type Measured,
  type MeasureOptions,
  measureCrash,
  measureJoin,
  measureLeave,
  measureSilent,
  measureSteady,
  measureStorm,
  type Spread,
} from "./measure.js";
export type { Delay, Link, Network, StreamFault } from "./network.js";
export type { JoinEnd, SimNode, Told } from "./node.js";
export { regressions } from "./regressions.js";
export { type OpenOptions, type SimEvent, Simulation, type SimulationOptions } from "./simulation.js";
export { runSwarm, type SwarmResult } from "./swarm.js";
