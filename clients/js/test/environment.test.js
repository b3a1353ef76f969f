import assert from "node:assert/strict";
import { test } from "node:test";

import { environment, systemClock } from "../src/environment.js";

test("a timer of years waits, although the platform cannot count so far", async () => {
  let early = false;
  const timer = systemClock.setTimeout(() => (early = true), 1e12);
  const before = systemClock.now();
  await new Promise((resolve) => systemClock.setTimeout(resolve, 20));
  systemClock.clearTimeout(timer);
  assert.equal(early, false);
  assert.ok(systemClock.now() > before);
});

test("what is not given is the platform's", () => {
  class Fake {}
  const { WebSocket, clock, random } = environment({ WebSocket: Fake });
  assert.deepEqual([WebSocket, clock, random], [Fake, systemClock, Math.random]);
});
