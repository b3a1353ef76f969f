import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { BACKOFF, delay, worthReturning } from "../src/returning.js";
import { nextState, TRANSITIONS } from "../src/states.js";

const STATES = Object.keys(TRANSITIONS);
const INPUTS = ["open", "opened", "accepted", "lost", "over"];

describe("every cell of the table", () => {
  for (const state of STATES) {
    for (const input of INPUTS) {
      const next = TRANSITIONS[state][input];
      test(`${input} while ${state} ${next ? `leads to ${next}` : "is refused"}`, () => {
        if (next) assert.equal(nextState(state, input), next);
        else assert.throws(() => nextState(state, input), { message: `${input} while ${state}` });
      });
    }
  }
  test("nothing leaves closed", () => {
    assert.deepEqual(new Set(Object.values(TRANSITIONS.closed)), new Set(["closed"]));
  });
  test("every state but closed can be ended", () => {
    for (const state of STATES) assert.equal(TRANSITIONS[state].over, "closed");
  });
});

describe("when to try again", () => {
  test("the wait lies anywhere below a limit that doubles up to the cap", () => {
    const limits = [0, 1, 2, 3, 4, 5, 6].map((attempt) => delay(attempt, BACKOFF, () => 1));
    assert.deepEqual(limits, [500, 1000, 2000, 4000, 8000, 15000, 15000]);
    assert.equal(delay(3, BACKOFF, () => 0), 0);
    assert.equal(delay(3, BACKOFF, () => 0.25), 1000);
    assert.equal(delay(1e9, BACKOFF, () => 1), 15000);
  });
});

describe("whether to come back", () => {
  for (const [kick, code, back] of [
    [null, 1006, true],
    [null, 1000, true],
    [{ reason: "you again" }, 1000, false],
    [{ reason: "you again" }, 1006, false],
    [{ reason: "the server is going away" }, 1001, true],
    [{ reason: "restart" }, 1012, true],
    [{ reason: "busy" }, 1013, true],
    [{ reason: "no heartbeat came for two intervals" }, 1008, true],
    [{ reason: "no handshake came in time" }, 1008, true],
    [{ reason: "moved", reconnect: true }, 1000, true],
    [{ reason: "banned", reconnect: false }, 1001, false],
  ]) {
    test(`kick ${JSON.stringify(kick)}, close ${code}: ${back}`, () => {
      assert.equal(worthReturning(kick, code), back);
    });
  }
});
