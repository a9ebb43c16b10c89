// The list of conversations beside the messages.
import { $, avatar, h, hidden, setText, shortTime } from "./dom.js";

const TYPING = "typing …";
const FAILED = "Not sent: ";

export const countText = (count) => (count > 999 ? "999+" : String(count));

export class ListView {
  #chats;
  #rows = new Map(); // user -> its elements

  constructor() {
    $("list").onkeydown = (event) => this.#onKey(event);
    $("list").onscroll = () => {
      const { scrollTop, clientHeight, scrollHeight } = $("list");
      if (scrollHeight - scrollTop - clientHeight < 200) this.#chats.moreConversations();
    };
  }

  use(chats) {
    this.#chats = chats;
    this.#rows.clear();
    $("list").replaceChildren();
  }

  render() {
    const chats = this.#chats;
    const rows = chats.list();
    const focused = document.activeElement;
    rows.forEach(({ it, item, at }, index) => {
      if (!this.#rows.has(it.user)) this.#rows.set(it.user, this.#create(it.user));
      const row = this.#rows.get(it.user);
      this.#update(row, it, item, at);
      const there = $("list").children[index];
      if (there !== row.element) $("list").insertBefore(row.element, there ?? null);
    });
    while ($("list").children.length > rows.length) {
      this.#rows.delete($("list").lastChild.dataset.user);
      $("list").lastChild.remove();
    }
    // An element that is moved loses the focus.
    if (focused !== document.activeElement && $("list").contains(focused)) focused.focus({ preventScroll: true });
    setText($("list-note"), rows.length > 0 ? "" : chats.hasLoaded ? "No conversations yet." : "Loading …");
  }

  focus({ user }) {
    this.#rows.get(user)?.link.focus();
  }

  #create(user) {
    const row = {
      time: h("time"),
      preview: h("span", { class: "preview" }),
      badge: h("span", { class: "badge" }),
      presence: h("span", { class: "presence" }),
    };
    const name = h("span", { class: "name" }, user);
    row.link = h("a", { href: `#${encodeURIComponent(user)}` }, h("span", { class: "portrait" }, avatar(user), row.presence), name, row.time, row.preview, row.badge);
    row.element = h("li", { "data-user": user }, row.link);
    return row;
  }

  #update(row, it, item, at) {
    const chats = this.#chats;
    const isOpen = it === chats.current;
    if (isOpen) row.link.setAttribute("aria-current", "true");
    else row.link.removeAttribute("aria-current");
    setText(row.time, at ? shortTime(at) : "");
    const isOnline = chats.isOnline(it.user);
    row.presence.hidden = !isOnline;
    if (isOnline !== row.presence.hasChildNodes()) row.presence.replaceChildren(...(isOnline ? [hidden("online ")] : []));
    const preview = previewOf(chats, it, item, at);
    row.preview.classList.toggle("typing", preview[0] === TYPING);
    row.preview.classList.toggle("problem", preview[0] === FAILED);
    if (row.preview.textContent !== preview.join("")) row.preview.replaceChildren(preview[0], h("bdi", {}, preview[1]));
    row.badge.hidden = it.unseen === 0;
    if (row.badge.dataset.count !== String(it.unseen)) {
      row.badge.dataset.count = it.unseen;
      row.badge.replaceChildren(...(it.unseen > 0 ? [countText(it.unseen), hidden(" not seen")] : []));
    }
  }

  // The arrows go from row to row, as well as Tab.
  #onKey(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const links = [...$("list").querySelectorAll("a")];
    links[links.indexOf(document.activeElement) + step]?.focus();
    event.preventDefault();
  }
}

// [what stands before the text, the text]
function previewOf(chats, it, item, at) {
  if (chats.isTyping(it)) return [TYPING, ""];
  if (item && item.at * 1000 >= at) return [item.status === "failed" ? FAILED : "Sending: ", item.text.slice(0, 200)];
  if (!it.last) return ["", ""];
  return [it.last.from === chats.me ? "You: " : "", it.last.text.slice(0, 200)];
}
