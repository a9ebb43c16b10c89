// Where a message is written. The text stays with its conversation until it is sent.
import { $, setText } from "./dom.js";
import { utf8Length } from "./chitchat.js";

const TEXT_BYTES = 16384; // until the server has said its limit

export class Composer {
  #chats;
  #onSent;
  #it = null;

  constructor(onSent) {
    this.#onSent = onSent;
    $("composer").onsubmit = (event) => {
      event.preventDefault();
      this.#send();
    };
    $("text").onkeydown = (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#send();
    };
    $("text").oninput = () => {
      this.#it.draft = $("text").value;
      if ($("text").value !== "" && this.#it.user !== this.#chats.me) this.#chats.client.typing(this.#it.user);
      this.#update();
    };
  }

  use(chats) {
    this.#chats = chats;
    this.#it = null;
    this.#setText("");
  }

  render() {
    const it = this.#chats.current;
    if (it === this.#it) return;
    this.#it = it;
    this.#setText(it?.draft ?? "");
  }

  // A text that was refused, to be written anew.
  edit(text) {
    this.#setText(this.#it.draft === "" ? text : `${text}\n${this.#it.draft}`);
    $("text").focus();
  }

  #setText(text) {
    $("text").value = text;
    if (this.#it) this.#it.draft = text;
    this.#update();
  }

  // How many bytes the text has too many.
  #excess() {
    const limit = this.#chats.client.login?.limits.text ?? TEXT_BYTES;
    const text = $("text").value;
    return text.length * 3 <= limit ? 0 : Math.max(0, utf8Length(text) - limit);
  }

  #update() {
    const excess = this.#excess();
    setText($("text-problem"), excess > 0 ? `The text is ${excess.toLocaleString()} bytes too long: shorten it, or send it in parts.` : "");
    // As high as its text; style.css has the limit.
    $("text").style.height = "auto";
    $("text").style.height = `${$("text").scrollHeight + 2}px`;
  }

  #send() {
    const text = $("text").value;
    if (text.trim() === "" || this.#excess() > 0) return $("text").focus();
    this.#chats.client.send(this.#it.user, text);
    this.#setText("");
    $("text").focus();
    this.#onSent();
  }
}
