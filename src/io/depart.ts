import type { Driver } from "./driver.js";
import type { Host } from "./host.js";

const mostLingerMs = 1000;
const longestTimerMs = 0x7fffffff;

export interface DepartureLimits {
  /** Whatever has not spread by then has not. */
  readonly timeoutMs: number;
  readonly gossipIntervalMs: number;
}

/**
 * Announces that a node leaves. Resolves to whether that has spread: once all was sent, and two gossip intervals
 * later (S-035), since the last to hear would take a port that is closed already for a crash. A lonely node does not
 * wait; a node that is closed meanwhile waits no longer.
 */
export function depart(host: Host, driver: Driver, limits: DepartureLimits): Promise<boolean> {
  return new Promise((resolve) => {
    let isSpread = false;
    const finish = (): void => {
      for (const timer of timers) clearTimeout(timer);
      host.onSettle = null;
      host.onClose = null;
      host.log.info("leave", { isSpread }, isSpread ? "left, and the others know" : "left; not all may know yet");
      resolve(isSpread);
    };
    const timers = [setTimeout(finish, Math.min(limits.timeoutMs, longestTimerMs))];
    host.onSettle = () => {
      if (isSpread || !host.swim.isLeaveSpread()) return;
      isSpread = true;
      if (host.swim.roster.liveCount === 0) finish();
      else timers.push(setTimeout(finish, Math.min(2 * limits.gossipIntervalMs, mostLingerMs)));
    };
    host.onClose = finish;
    driver.perform(host, (nowMs) => host.swim.leave(nowMs));
  });
}
