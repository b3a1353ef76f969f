import assert from "node:assert/strict";
import { test } from "node:test";

import { Starx } from "../src/starx.js";
import { PacketType, Server, settled } from "./server.js";

/** An adapter that is connected, and the events it has told. */
async function connected(params = {}, answer = {}) {
  const server = new Server();
  const starx = new Starx(server.environment);
  const told = [];
  for (const name of ["io-error", "close", "disconnect", "reconnect", "heartbeat timeout", "error", "onKick"]) {
    starx.on(name, (value) => told.push([name, value?.reason ?? value]));
  }
  let inits = 0;
  starx.init({ host: "here", port: 3250, path: "nano", ...params }, () => inits++);
  await server.last.open();
  await server.last.greet(answer);
  return { server, starx, told, inits: () => inits };
}

test("init makes the address from host, port and path, and calls back when it works", async () => {
  const greeted = [];
  const { server, starx, inits } = await connected(
    { user: { name: "Ann" }, handshakeCallback: (user) => greeted.push(user) },
    { user: { welcome: true } },
  );
  assert.equal(server.last.url, "ws://here:3250/nano");
  assert.equal(inits(), 1);
  assert.deepEqual(greeted, [{ welcome: true }]);
  starx.disconnect();
});

test("request calls back with the answer, with or without a message", async () => {
  const { server, starx } = await connected();
  const answers = [];
  starx.request("Room.join", { name: "Ann" }, (answer) => answers.push(answer));
  starx.request("Room.list", (answer) => answers.push(answer));
  starx.request("", { route: "Room.named" });
  starx.request("", {});
  const asked = server.last.messages.map(({ route, value }) => [route, value]);
  assert.deepEqual(asked, [
    ["Room.join", { name: "Ann" }],
    ["Room.list", {}],
    ["Room.named", { route: "Room.named" }],
  ]);
  await server.last.answer(1, "in");
  await server.last.answer(2, []);
  assert.deepEqual(answers, ["in", []]);
  starx.disconnect();
});

test("an error calls back with the body that nano's own client would have handed over", async () => {
  const { server, starx } = await connected();
  const answers = [];
  const body = { code: "NANO-404", msg: "no such route", status: 404 };
  starx.request("No.where", {}, (answer) => answers.push(answer));
  await server.last.answer(1, body, true);
  assert.deepEqual(answers, [body]);
  starx.disconnect();
});

test("pushes come to on and once, registered before init or after", async () => {
  const server = new Server();
  const starx = new Starx(server.environment);
  const heard = [];
  starx.on("onEarly", (message) => heard.push(message));
  starx.init({ host: "here" });
  starx.once("onLate", (message) => heard.push(message));
  await server.accept();
  for (const route of ["onEarly", "onLate", "onEarly", "onLate"]) server.last.push(route, route);
  starx.removeAllListeners("onEarly");
  server.last.push("onEarly", 2);
  assert.deepEqual(heard, ["onEarly", "onLate", "onEarly"]);
  assert.equal(starx.hasListeners("onEarly"), false);
  starx.disconnect();
});

test("a cut is told as nano tells it, and without reconnect it is the end", async () => {
  const { server, starx, told } = await connected();
  await server.last.drop(1006);
  const names = told.map(([name]) => name);
  assert.deepEqual(names, ["io-error", "close", "disconnect"]);
  server.clock.advance(60_000);
  assert.equal(server.sockets.length, 1);
  assert.throws(() => starx.notify("a"), /lost/);
});

test("with reconnect the page is connected again, and init calls back again", async () => {
  const { server, starx, told, inits } = await connected({ reconnect: true });
  await server.last.drop(1001);
  server.clock.advance(500);
  await server.accept();
  assert.deepEqual(told.map(([name]) => name), ["close", "disconnect", "reconnect"]);
  assert.equal(inits(), 2);
  starx.disconnect();
});

test("with reconnect the first attempt may fail too", async () => {
  const server = new Server();
  const starx = new Starx(server.environment);
  const working = new Promise((resolve) => starx.init({ host: "here", reconnect: true }, resolve));
  await server.last.drop();
  server.clock.advance(500);
  await server.accept();
  await working;
  starx.disconnect();
});

test("an answer may take as long as it wants, as with nano", async () => {
  const { server, starx, told } = await connected({}, { heartbeat: 0 });
  const answers = [];
  starx.request("Room.think", {}, (answer) => answers.push(answer));
  server.clock.advance(3_600_000);
  await server.last.answer(1, "42");
  assert.deepEqual([answers, told], [["42"], []]);
  starx.disconnect();
});

test("a silent server is a heartbeat timeout", async () => {
  const { server, told } = await connected({}, { heartbeat: 1 });
  server.clock.advance(2000);
  assert.deepEqual(told.map(([name]) => name), ["heartbeat timeout", "close", "disconnect"]);
});

test("a kick is told with its reason", async () => {
  const { server, told } = await connected({ reconnect: true });
  server.last.kick({ reason: "logged in elsewhere" });
  await server.last.drop(1000);
  assert.deepEqual(told.map(([name]) => name), ["onKick", "close", "disconnect"]);
  assert.equal(told[0][1], "logged in elsewhere");
});

for (const [code, text] of [[500, "handshake fail"], [501, "client version not fullfill"]]) {
  test(`a handshake that is answered ${code} is the error "${text}"`, async () => {
    const { told } = await connected({}, { code });
    await settled();
    assert.deepEqual(told.filter(([name]) => name === "error"), [["error", text]]);
  });
}

test("init again leaves the first connection", async () => {
  const { server, starx, told } = await connected();
  starx.init({ host: "there" });
  await server.accept();
  assert.equal(server.sockets[0].closedWith, 1000);
  assert.deepEqual(told, []);
  starx.notify("a.b", "x");
  assert.equal(server.last.count(PacketType.DATA), 1);
  starx.disconnect();
});

test("what the adapter cannot do it says", () => {
  const starx = new Starx(new Server().environment);
  assert.throws(() => starx.init({ host: "here", encrypt: true }), /encrypt is not supported/);
  assert.throws(() => starx.notify("a.b"), /call starx\.init first/);
});
