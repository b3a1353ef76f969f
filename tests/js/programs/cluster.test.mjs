// Against a running cluster, NANO_URL: what a user's program does.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { connect as connectAnother } from "../../../clients/js/src/index.js";
import { Starx } from "../../../clients/js/src/starx.js";

const URL = process.env.NANO_URL;
const EMOJI = "naïve — 日本語 😀👩‍🚀 \u0000\ud83d\ude00";

const clients = []; // one that a failure leaves open would keep the program alive
const connect = async (url) => {
  const client = await connectAnother(url);
  clients.push(client);
  return client;
};
afterEach(() => clients.splice(0).forEach((client) => client.disconnect()));

test("a request is answered, in correct UTF-8", async () => {
  const client = await connect(URL);
  assert.deepEqual(await client.request("Parlour.echo", { text: EMOJI }), { text: EMOJI });
  assert.equal(await client.request("Parlour.echo", EMOJI), EMOJI);
});

test("a payload that is empty, and one of 60 kB, arrive", async () => {
  const client = await connect(URL);
  assert.equal(await client.request("Parlour.raw", new Uint8Array()), null);
  const long = "😀".repeat(15_000);
  assert.equal(await client.request("Parlour.echo", long), long);
});

test("an error of the handler rejects, with its own code", async () => {
  const client = await connect(URL);
  await assert.rejects(client.request("Parlour.fail", { why: "voll 😀" }), {
    name: "RequestError",
    status: 409,
    code: "PARLOUR-FULL",
    message: "voll 😀",
  });
});

test("an unknown route, and a payload of the wrong form, reject", async () => {
  const client = await connect(URL);
  for (const [route, message, status] of [
    ["Parlour.nowhere", {}, 404],
    ["Nowhere.at.all", {}, 404],
    ["nodots", {}, 404],
    ["Parlour.slow", "not a number", 400],
    ["Parlour.echo", new Uint8Array([0xff]), 400],
  ]) {
    await assert.rejects(client.request(route, message), { name: "RequestError", status }, route);
  }
  assert.equal(await client.request("Parlour.echo", "still here"), "still here");
});

test("a request that takes too long is given up, and the connection goes on", async () => {
  const client = await connect(URL);
  const slow = client.request("Parlour.slow", 0.3, { timeout: 50 });
  await assert.rejects(slow, { name: "TimeoutError" });
  assert.equal(await client.request("Parlour.echo", 1), 1);
});

test("a notify leads to a push", async () => {
  const client = await connect(URL);
  const heard = new Promise((resolve) => client.once("onShout", resolve));
  client.notify("Parlour.shout", { text: EMOJI });
  assert.deepEqual(await heard, { text: EMOJI });
});

test("1000 pipelined requests are all answered, and their pushes come in order", async () => {
  const client = await connect(URL);
  const numbers = Array.from({ length: 1000 }, (_, number) => number);
  const heard = [];
  const all = new Promise((resolve) => {
    client.on("onShout", (number) => heard.push(number) === 1000 && resolve());
  });
  const began = performance.now();
  const answers = await Promise.all(
    numbers.map((number) => {
      client.notify("Parlour.shout", number);
      return client.request("Parlour.echo", number);
    }),
  );
  await all;
  console.log(`1000 requests and 1000 pushes in ${Math.round(performance.now() - began)} ms`);
  assert.deepEqual(answers, numbers);
  assert.deepEqual(heard, numbers);
});

test("who is kicked hears why, and stays away", async () => {
  const client = await connect(URL);
  const kicked = new Promise((resolve) => client.events.once("kick", resolve));
  const closed = new Promise((resolve) => client.events.once("close", resolve));
  client.notify("Parlour.leave", "good bye 😀");
  assert.equal((await kicked).reason, "good bye 😀");
  assert.match((await closed).reason, /good bye 😀/);
  await assert.rejects(client.request("Parlour.echo"), { name: "ClosedError" });
});

test("the server's heartbeats keep a silent client connected", async () => {
  const client = await connect(URL);
  const lost = new Promise((_, reject) => client.events.once("reconnecting", reject));
  // four intervals: who does not answer is gone after three
  await Promise.race([lost, client.request("Parlour.slow", 4)]);
});

test("session ids are strings, and no digit is lost", async () => {
  const client = await connect(URL);
  client.notify("Parlour.join", "Ann 😀");
  const { uid, id } = await client.request("Parlour.who");
  assert.equal(uid, "Ann 😀");
  assert.ok(BigInt(id) >= 2n ** 62n);
});

test("nano's surface works the same way", async () => {
  const { hostname: host, port } = new globalThis.URL(URL);
  const starx = new Starx();
  const told = [];
  const done = new Promise((resolve) => starx.on("disconnect", resolve));
  starx.on("onShout", (message) => {
    told.push(message);
    starx.request("Parlour.fail", { why: "full" }, (body) => {
      told.push(body);
      starx.notify("Parlour.leave", "bye");
    });
  });
  starx.on("onKick", ({ reason }) => told.push(reason));
  starx.init({ host, port, path: "/" }, () => {
    starx.request("Parlour.echo", { text: EMOJI }, (answer) => {
      told.push(answer);
      starx.notify("Parlour.shout", EMOJI);
    });
  });
  await done;
  const body = { code: "PARLOUR-FULL", msg: "full", status: 409 };
  assert.deepEqual(told, [{ text: EMOJI }, EMOJI, body, "bye"]);
});
