/**
 * What is seen: takes values, makes elements, knows no server.
 *
 * Whatever a user has written goes into the page as text, never as HTML.
 *
 * @module
 */

const CLOSE = 3 * 60_000; // milliseconds between lines that are shown as one
const NEAR = 80; // pixels from the end that count as being there
const MOST_LINES = 300;
const EMOJI = /^(\p{Extended_Pictographic}|\p{Emoji_Component}){1,12}$/u;
const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit" });

/** @param {string} id */
export const at = (id) => document.getElementById(id);

/** Make an element with a class and a text. */
function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

/** Give *element* the colour that goes with *name*. */
function tint(element, name) {
  let hue = 7;
  for (const character of name) hue = (hue * 31 + character.codePointAt(0)) % 360;
  element.style.setProperty("--hue", hue);
  return element;
}

function avatar(name) {
  const element = tint(make("span", "avatar", [...name][0]?.toUpperCase()), name);
  element.setAttribute("aria-hidden", "true");
  return element;
}

export function showScreen(name, problem = "") {
  document.body.dataset.screen = name;
  at("login-error").textContent = problem;
  if (name === "login") at("nickname").focus();
}

export function showMe(name) {
  at("my-name").textContent = name;
  at("my-avatar").textContent = [...name][0].toUpperCase();
  tint(at("my-avatar"), name);
}

export function showState(state, text) {
  at("state").dataset.state = state;
  at("state").textContent = text;
}

export function showNotice(text) {
  at("notice").textContent = text;
  at("notice").hidden = !text;
}

export function showBalance(left) {
  at("balance").textContent = `${left.toLocaleString()} messages left`;
}

/** Show a fact about the cluster, and that it has changed. */
export function showNode(id, name) {
  const element = at(id);
  if (element.textContent === name) return;
  const known = element.textContent !== "–";
  element.textContent = name;
  element.title = name;
  element.classList.remove("fresh");
  if (known) requestAnimationFrame(() => element.classList.add("fresh"));
}

export function showTraffic({ users, in: said, out }) {
  at("traffic").textContent = `${users} online · ${said} in, ${out} out a minute`;
}

/** Show the rooms, how many are in each, and where something new was said. */
export function showRooms(rooms, current, counts, unread, choose) {
  at("room").textContent = current;
  document.title = `${current} · NanoCluster chat`;
  at("rooms").replaceChildren(
    ...rooms.map((room) => {
      const button = make("button", "", room);
      button.type = "button";
      if (room === current) button.setAttribute("aria-current", "true");
      const count = make("span", "count", counts[room] || "");
      if (counts[room]) count.setAttribute("aria-label", `${counts[room]} here`);
      button.append(count);
      if (unread.has(room)) button.append(make("span", "unread"));
      button.addEventListener("click", () => choose(room));
      const item = make("li");
      item.append(button);
      return item;
    }),
  );
}

export function showMembers(members, me) {
  at("member-count").textContent = members.size;
  const sorted = [...members].sort((one, other) => one.localeCompare(other));
  at("members").replaceChildren(
    ...sorted.map((name) => {
      const item = make("li");
      item.append(avatar(name), make("span", "", name === me ? `${name} (you)` : name));
      return item;
    }),
  );
}

/** The messages of one room. */
export class Lines {
  #list = at("lines");
  #items = new Map();
  #last = null;
  #atEnd = true;

  constructor() {
    const list = this.#list;
    list.addEventListener("scroll", () => {
      this.#atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < NEAR;
    });
    // a keyboard that comes up hides nothing
    new ResizeObserver(() => this.#follow(this.#atEnd)).observe(list);
  }

  clear() {
    this.#list.replaceChildren();
    this.#items.clear();
    this.#last = null;
    this.#list.append(make("li", "empty", "Nobody has said anything here yet. Say hello!"));
  }

  /** Show *line*, or that it has arrived if it is here already. */
  show(line, me, pending = false) {
    const known = this.#items.get(line.id);
    if (known) {
      known.classList.remove("pending", "failed");
      known.querySelector(".failure")?.remove();
      return;
    }
    const more = this.#last?.name === line.name && line.at - this.#last.at < CLOSE;
    const item = tint(make("li", "line"), line.name);
    item.classList.toggle("more", more);
    item.classList.toggle("mine", line.name === me);
    item.classList.toggle("pending", pending);
    item.classList.toggle("big", EMOJI.test(line.content));
    const head = make("span", "head");
    const time = make("time", "", clock.format(line.at));
    time.dateTime = new Date(line.at).toISOString();
    head.append(make("strong", "", line.name), time);
    const bubble = make("span", "bubble", line.content);
    if (line.node) bubble.title = `taken by the room backend ${line.node}`;
    item.append(avatar(line.name), head, bubble);
    this.#items.set(line.id, item);
    this.#last = line;
    this.#append(item, line.name === me);
  }

  /** Say that the line *id* did not arrive, why, and let the user try again. */
  fail(id, reason, again) {
    const item = this.#items.get(id);
    if (!item?.classList.contains("pending")) return;
    item.classList.remove("pending");
    item.classList.add("failed");
    const failure = make("span", "failure", `${reason} `);
    const button = make("button", "", "Send again");
    button.type = "button";
    button.addEventListener("click", () => {
      item.classList.add("pending");
      item.classList.remove("failed");
      failure.remove();
      again();
    });
    failure.append(button);
    item.append(failure);
    this.#follow(true);
  }

  /** Show what nobody has said. */
  tell(text) {
    this.#last = null;
    this.#append(make("li", "system", text), false);
  }

  #append(item, always) {
    const list = this.#list;
    list.querySelector(".empty")?.remove();
    list.append(item);
    if (list.childElementCount > MOST_LINES) this.#forget(list.firstElementChild);
    this.#follow(always || this.#atEnd);
  }

  #follow(wanted) {
    if (wanted) this.#list.scrollTop = this.#list.scrollHeight;
  }

  #forget(oldest) {
    oldest.remove();
    for (const [id, item] of this.#items) if (item === oldest) this.#items.delete(id);
  }
}
