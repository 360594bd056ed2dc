// Filters the tables of clients. Without it everything is still there to read.
(() => {
  const box = document.getElementById("find");
  const rows = [...document.querySelectorAll("tr[data-find]")];
  if (!box || !rows.length) return;
  document.querySelector(".find").hidden = false;
  const told = document.getElementById("found");
  const fold = (text) => text.toLowerCase().normalize("NFD").replace(/\p{M}/gu, "");
  const keys = rows.map((row) => fold(row.cells[0].textContent));
  box.addEventListener("input", () => {
    const wanted = fold(box.value.trim());
    let shown = 0;
    rows.forEach((row, at) => { row.hidden = !keys[at].includes(wanted); shown += !row.hidden; });
    told.textContent = wanted ? `${told.dataset.word} ${shown}` : "";
    if (wanted) document.querySelectorAll("details.clients").forEach((each) => { each.open = true; });
  });
})();
