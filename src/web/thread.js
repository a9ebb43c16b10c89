// The messages of the open conversation. What is added above or below leaves the reading position where it is; at the end
// of the conversation the view stays at the end, however the pane changes its height.
import { $, avatar, clockOf, dayName, dayOf, h, hidden, setText, timeElement } from "./dom.js";
import { countText } from "./list.js";

const END_PX = 32; // so near to the end counts as the end
const TOP_PX = 400; // older messages are loaded from here on
const GROUP_US = 180e6; // messages of one side within this time stand close together

const attentive = () => document.visibilityState === "visible" && document.hasFocus();

export class ThreadView {
  #chats;
  #onEdit; // (item): its text is to be written anew
  #it = null; // the conversation that is shown
  #nodes = new Map(); // key of a row -> its element
  #atEnd = true;
  #scrollTop = 0; // as it was noted
  #first = null; // the first message that is shown
  #anchor = null; // { element, top }: what the user reads, while not at the end
  #newFrom = null; // the ts before the first new message, where a line stands
  #isComplete = false; // the newest page was shown, beginning with that line
  #announced = 0; // the newest ts that was read out

  constructor(onEdit) {
    this.#onEdit = onEdit;
    $("pane").onscroll = () => this.#onScroll();
    $("down").onclick = () => this.toEnd();
    const observer = new ResizeObserver(() => this.#keepPlace());
    observer.observe($("pane"));
    observer.observe($("messages"));
    for (const type of ["focus", "visibilitychange"]) addEventListener(type, () => this.#markSeen(), true);
  }

  use(chats) {
    this.#chats = chats;
    this.#show(null);
    for (const id of ["peer-avatar", "peer-name", "peer-state", "announcer"]) $(id).replaceChildren();
  }

  // The end of the thread is shown, as after a message of the user's own.
  toEnd() {
    this.#atEnd = true;
    this.#newFrom = null;
    this.render();
  }

  render() {
    const it = this.#chats.current;
    if (it !== this.#it) this.#show(it);
    $("open-thread").hidden = it === null;
    $("no-thread").hidden = it !== null;
    if (!it) return;
    if ($("pane").scrollTop !== this.#scrollTop) this.#notePlace(); // its event is still to come
    const isFirst = it.hasNewest && !this.#isComplete;
    if (it.unseen > 0 && this.#newFrom === null && (isFirst || !attentive())) this.#newFrom = it.seen;
    if (this.#atEnd) it.messages.length > 600 && it.trim();
    this.#renderHead(it);
    this.#renderRows(it);
    this.#first = it.messages[0];
    this.#keepPlace();
    if (isFirst) this.#showNew();
    this.#announce(it);
    this.#markSeen();
    this.#loadOlder();
  }

  #show(it) {
    this.#it = it;
    this.#nodes.clear();
    $("messages").replaceChildren();
    this.#atEnd = true;
    this.#anchor = this.#newFrom = null;
    this.#isComplete = false;
    this.#announced = it?.messages.at(-1)?.ts ?? Infinity;
    if (!it) return;
    $("peer-avatar").replaceChildren(avatar(it.user));
    setText($("peer-name"), it.user);
  }

  // -- rows --

  #renderHead(it) {
    const chats = this.#chats;
    const state = it.user === chats.me ? "notes to yourself" : chats.isTyping(it) ? "typing …" : chats.isOnline(it.user) ? "online" : "";
    setText($("peer-state"), state);
    const top = it.problem ? `Older messages cannot be loaded: ${it.problem}` : it.isLoading ? "Loading …" : it.hasNewest && !it.more && it.messages.length > 0 ? "" : it.hasNewest && !it.more ? "No messages yet." : "";
    setText($("top-note"), top);
  }

  // Rows in their order: { key, create, update }.
  #rows(it) {
    const rows = [];
    const me = this.#chats.me;
    let before = null;
    // The place of the line before new messages is known if there are messages on both sides of it.
    let isNew = this.#newFrom !== null && (!it.more || it.messages[0]?.ts <= this.#newFrom);
    for (const message of it.messages) {
      if (!before || dayOf(before.ts) !== dayOf(message.ts)) rows.push(dayRow(message.ts));
      if (isNew && message.ts > this.#newFrom && message.from !== me) {
        isNew = false;
        rows.push({ key: "new", create: () => h("li", { class: "line new" }, h("span", {}, "New messages")), update() {} });
      }
      rows.push(messageRow(message, before, me, it.seenBy));
      before = message;
    }
    for (const item of this.#chats.items(it)) rows.push(itemRow(item, this.#actions));
    return rows;
  }

  #actions = {
    retry: (item) => this.#chats.client.retry(item.key) && (this.toEnd(), $("text").focus()),
    edit: (item) => this.#chats.client.discard(item.key) && this.#onEdit(item),
    remove: (item) => this.#chats.client.discard(item.key) && $("text").focus(),
  };

  #renderRows(it) {
    const rows = this.#rows(it);
    const keys = new Set(rows.map(({ key }) => key));
    for (const [key, node] of this.#nodes) {
      if (keys.has(key)) continue;
      node.remove();
      this.#nodes.delete(key);
    }
    let place = $("messages").firstChild;
    for (const { key, create, update } of rows) {
      let node = this.#nodes.get(key);
      if (!node) this.#nodes.set(key, (node = create()));
      update(node);
      if (node === place) place = place.nextSibling;
      else $("messages").insertBefore(node, place);
    }
  }

  // -- the reading position --

  #onScroll() {
    this.#notePlace();
    this.#renderDown();
    this.#markSeen();
    this.#loadOlder();
  }

  // Whether it is the end, and if not the first message that can be seen, and where.
  #notePlace() {
    const { scrollTop, clientHeight, scrollHeight } = $("pane");
    this.#scrollTop = scrollTop;
    this.#atEnd = scrollHeight - scrollTop - clientHeight < END_PX;
    this.#anchor = null;
    if (this.#atEnd) return;
    const top = $("pane").getBoundingClientRect().top;
    const nodes = $("messages").children;
    let [low, high] = [0, nodes.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (nodes[middle].getBoundingClientRect().bottom > top) high = middle;
      else low = middle + 1;
    }
    const element = nodes[low]?.matches(".message") ? nodes[low] : nodes[low + 1];
    if (element) this.#anchor = { element, top: element.getBoundingClientRect().top - top };
  }

  #keepPlace() {
    const pane = $("pane");
    if (this.#atEnd) {
      pane.scrollTop = pane.scrollHeight;
    } else if (this.#anchor?.element.isConnected) {
      const top = this.#anchor.element.getBoundingClientRect().top - pane.getBoundingClientRect().top;
      if (Math.abs(top - this.#anchor.top) >= 1) pane.scrollTop += top - this.#anchor.top;
    }
    this.#scrollTop = pane.scrollTop;
    this.#renderDown();
  }

  // A conversation with new messages begins at the first of them.
  #showNew() {
    this.#isComplete = true;
    const line = this.#nodes.get("new");
    if (!line) return;
    const pane = $("pane");
    const top = line.getBoundingClientRect().top - pane.getBoundingClientRect().top;
    if (top > 0) return;
    pane.scrollTop += top - pane.clientHeight / 4;
    this.#onScroll();
  }

  // What has come is shown before more is loaded: that moves the place.
  #loadOlder() {
    const it = this.#it;
    if (it && !it.problem && it.more && it.messages[0] === this.#first && $("pane").scrollTop < TOP_PX) this.#chats.older();
  }

  #renderDown() {
    const count = this.#it?.unseen ?? 0;
    $("down").hidden = this.#atEnd;
    setText($("down"), count > 0 ? `${countText(count)} new` : "Newest");
  }

  // -- what is seen and heard --

  // The newest message of the other side that can be seen.
  #markSeen() {
    const it = this.#it;
    if (!this.#isComplete || it.unseen === 0 || !attentive() || $("pane").clientHeight === 0) return;
    const bottom = $("pane").getBoundingClientRect().bottom;
    for (const { ts, from } of it.messages.toReversed()) {
      if (ts <= it.seen) return;
      const node = this.#nodes.get(ts); // none: it is drawn soon
      if (from !== it.user || !node || node.getBoundingClientRect().top >= bottom) continue;
      this.#chats.saw(ts);
      return;
    }
  }

  #announce(it) {
    const newest = it.messages.at(-1)?.ts ?? 0;
    if (!it.hasNewest) return;
    const fresh = it.messages.filter(({ ts, from }) => ts > this.#announced && from !== this.#chats.me).slice(-5);
    this.#announced = newest;
    if (fresh.length > 0) $("announcer").replaceChildren(...fresh.map(({ from, text }) => h("p", {}, `${from}: ${text.slice(0, 500)}`)));
  }
}

const dayRow = (ts) => ({
  key: `day ${dayOf(ts)}`,
  create: () => h("li", { class: "line day" }, h("span")),
  update: (node) => setText(node.firstChild, dayName(ts)),
});

const classOf = (isOwn) => `message ${isOwn ? "mine" : "theirs"}`;

function bubble(from, text, ...meta) {
  return h("div", { class: "bubble" }, hidden(`${from}: `), h("p", { class: "text", dir: "auto" }, text), h("span", { class: "meta" }, ...meta));
}

function messageRow(message, before, me, seenBy) {
  const { ts, from, text } = message;
  const isOwn = from === me;
  const isNear = before?.from === from && ts - before.ts < GROUP_US && dayOf(before.ts) === dayOf(ts);
  return {
    key: ts,
    create() {
      const mark = isOwn && message.to !== me ? [h("span", { class: "mark" })] : [];
      return h("li", { class: classOf(isOwn), "data-ts": ts }, bubble(isOwn ? "You" : from, text, timeElement(ts), ...mark));
    },
    update(node) {
      node.classList.toggle("near", isNear);
      const mark = node.querySelector(".mark");
      const isSeen = ts <= seenBy;
      if (!mark || mark.dataset.seen === String(isSeen)) return;
      mark.dataset.seen = isSeen;
      mark.title = isSeen ? "Seen" : "Sent";
      mark.replaceChildren(hidden(isSeen ? "seen" : "sent"));
    },
  };
}

const WAITING = { waiting: "not sent yet", sending: "sending", held: "the server is busy: sent again soon" };

function itemRow(item, { retry, edit, remove }) {
  return {
    key: `${item.key} ${item.status === "failed"}`,
    create() {
      const row = h("li", { class: `${classOf(true)} unsent` }, bubble("You", item.text, h("span", { class: "status" })));
      if (item.status !== "failed") return row;
      row.classList.add("failed");
      row.append(
        h("p", { class: "problem", role: "alert" }, `Not sent: ${item.error.message}`),
        h("p", { class: "actions" },
          h("button", { type: "button", onclick: () => retry(item) }, "Send again"),
          h("button", { type: "button", onclick: () => edit(item) }, "Edit"),
          h("button", { type: "button", onclick: () => remove(item) }, "Delete")));
      return row;
    },
    update: (node) => setText(node.querySelector(".status"), item.status === "failed" ? clockOf(item.at * 1000) : WAITING[item.status]),
  };
}
