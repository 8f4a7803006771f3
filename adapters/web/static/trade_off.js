"use strict";
// Each change of a slider asks anew and puts the answer in; without this script the button does.
(() => {
  const form = document.getElementById("trade-off");
  const answer = document.getElementById("answer");
  const work = document.getElementById("at-work");
  if (!form || !answer) return;
  let last = 0;
  const tell = (slider) => {
    const told = document.getElementById(slider.id + "-told");
    const value = Number(slider.value);
    told.textContent = slider.dataset.kind === "margin"
      ? (value > 0 ? "+" : "") + value + " mm" : "\u00d7 " + 2 ** value;
  };
  const ask = async () => {
    const mine = ++last;
    answer.setAttribute("aria-busy", "true");
    const late = setTimeout(() => { work.textContent = work.dataset.text; }, 3000);
    let text = "";
    try {
      const body = new URLSearchParams(new FormData(form));
      text = await (await fetch(form.action, { method: "POST", body })).text();
    } catch (error) {
      form.submit();  // the browser says what is wrong
      return;
    } finally {
      clearTimeout(late);
    }
    if (mine !== last) return;
    const page = new DOMParser().parseFromString(text, "text/html");
    const found = page.getElementById("answer");
    answer.replaceChildren(...(found || page.querySelector("main")).childNodes);
    answer.setAttribute("aria-busy", "false");
    work.textContent = "";
  };
  for (const slider of form.querySelectorAll("input[type=range]")) {
    slider.addEventListener("input", () => tell(slider));
    slider.addEventListener("change", ask);
  }
  form.addEventListener("submit", (event) => { event.preventDefault(); ask(); });
})();
