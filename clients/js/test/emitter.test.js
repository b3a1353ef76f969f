import assert from "node:assert/strict";
import { test } from "node:test";

import { Emitter } from "../src/emitter.js";

test("callbacks are called in order, and once only where that was said", () => {
  const calls = [];
  const emitter = new Emitter(assert.fail);
  const note = (value) => calls.push(value);
  emitter.on("a", note).once("a", note).on("a", (value) => calls.push(-value));
  emitter.emit("a", 1);
  emitter.emit("a", 2);
  assert.deepEqual(calls, [1, 1, -1, 2, -2]);
});

test("what is taken off is not called any more", () => {
  const calls = [];
  const emitter = new Emitter(assert.fail);
  const note = (value) => calls.push(value);
  emitter.on("a", note).on("b", note).on("b", (value) => calls.push(-value)).off("b", note);
  emitter.emit("b", 1);
  emitter.off("b").emit("b", 2);
  emitter.off().emit("a", 3);
  assert.deepEqual(calls, [-1]);
  assert.equal(emitter.has("a"), false);
});

test("a callback that throws stops none of the others", () => {
  const errors = [];
  const calls = [];
  const emitter = new Emitter((error, name) => errors.push([error, name]));
  emitter.on("a", () => { throw "no"; }).on("a", (value) => calls.push(value));
  emitter.emit("a", 1);
  assert.deepEqual([errors, calls], [[["no", "a"]], [1]]);
});

test("callbacks may come and go while others are called", () => {
  const calls = [];
  const emitter = new Emitter(assert.fail);
  const first = () => {
    calls.push("first");
    emitter.off("a", first).on("a", () => calls.push("late"));
  };
  emitter.on("a", first).on("a", () => calls.push("second"));
  emitter.emit("a");
  assert.deepEqual(calls, ["first", "second"]);
});

test("what is no function is refused when it is registered", () => {
  assert.throws(() => new Emitter(assert.fail).on("a", undefined), TypeError);
});
