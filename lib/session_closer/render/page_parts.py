"""How a page for a browser looks, and what makes its table be sorted and searched (pure)."""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--back:#fbfbfa;--card:#fff;--ink:#1d2125;--soft:#606a73;--line:#e3e6e8;--goes:#d4572b;
--stays:#8fa7bd;--hover:#f2f5f7;--mark:#2563b0}
@media (prefers-color-scheme:dark){:root{--back:#14171a;--card:#1c2024;--ink:#e6e9ec;--soft:#98a3ad;--line:#2e3439;
--goes:#f0835a;--stays:#55708a;--hover:#23292e;--mark:#7db4f5}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Noto Sans",sans-serif}
main{max-width:80rem;margin:0 auto;padding:2rem 1.25rem 4rem}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 .35rem;font-weight:650;overflow-wrap:anywhere}
h2{font-size:.8rem;margin:0 0 .6rem;font-weight:600;color:var(--soft);letter-spacing:.02em}
header p{margin:0;color:var(--soft);overflow-wrap:anywhere}
dl{display:flex;flex-wrap:wrap;gap:.75rem;margin:1.5rem 0}
dl div{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.7rem 1rem;min-width:9rem}
dt{color:var(--soft);font-size:.8rem}
dd{margin:0;font-size:1.3rem;font-weight:600;font-variant-numeric:tabular-nums}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(20rem,1fr));gap:.75rem;margin:0 0 1.75rem}
section{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:1rem}
.key{margin:0 0 .6rem;color:var(--soft);font-size:.85rem}
.key span{display:inline-block;width:.7rem;height:.7rem;border-radius:.15rem;margin:0 .15rem 0 .6rem}
.key span:first-child{margin-left:0}
.key .goes{background:var(--goes)}
.key .stays{background:var(--stays)}
rect.goes{fill:var(--goes)}
rect.stays{fill:var(--stays)}
table{border-collapse:collapse;width:100%}
.bars th{font-weight:400;text-align:left;padding:.15rem .6rem .15rem 0;max-width:9rem;overflow:hidden;
text-overflow:ellipsis;white-space:nowrap}
.bars td{padding:.15rem 0}
.bars td:nth-child(2){width:60%}
.bars svg{display:block;width:100%;height:.75rem;border-radius:.2rem;overflow:hidden}
.bars .n{padding-left:.6rem;color:var(--soft)}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
form{display:flex;gap:.75rem;align-items:center;margin:0 0 .6rem;color:var(--soft)}
input{font:inherit;color:inherit;background:var(--card);border:1px solid var(--line);border-radius:.5rem;
padding:.45rem .7rem;width:min(26rem,60vw)}
input:focus-visible,button:focus-visible{outline:2px solid var(--mark);outline-offset:1px}
.wide{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:.6rem}
#t{font-size:.875rem}
#t th{padding:0;text-align:left;border-bottom:1px solid var(--line);position:sticky;top:0;background:var(--card)}
#t th button{all:unset;box-sizing:border-box;width:100%;cursor:pointer;display:block;
padding:.55rem .75rem;font-size:.8rem;font-weight:600;
color:var(--soft);white-space:nowrap}
#t th.n button{text-align:right}
#t th button::after{content:"\\2195";opacity:.35;margin-left:.3rem}
#t th[aria-sort=ascending] button::after{content:"\\2191";opacity:1}
#t th[aria-sort=descending] button::after{content:"\\2193";opacity:1}
#t td{padding:.4rem .75rem;border-bottom:1px solid var(--line);vertical-align:top;white-space:nowrap}
#t td.l{white-space:normal;overflow-wrap:anywhere;min-width:8rem}
#t tr:last-child td{border-bottom:0}
#t td.l:last-child{min-width:19rem}
#t tbody tr:hover{background:var(--hover)}
#t .goes td:first-child{box-shadow:inset 3px 0 0 var(--goes);color:var(--goes);font-weight:600}
#t .stays td{color:var(--soft)}
footer{margin-top:1.75rem;color:var(--soft);font-size:.875rem}
footer ul{margin:0;padding-left:1.1rem}
footer li{overflow-wrap:anywhere}
@media print{:root{--back:#fff;--card:#fff;--ink:#000;--soft:#333;--line:#bbb;--goes:#b03a10;--stays:#9aa9b8}
body{font-size:10pt}main{padding:0;max-width:none}form{display:none}.wide{overflow:visible;border:0}
thead{display:table-header-group}tr,section{break-inside:avoid}#t th{position:static}#t th button::after{content:""}
svg,.key span{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""

SCRIPT = """
(() => {
  const table = document.getElementById("t");
  if (!table) return;
  const body = table.tBodies[0], rows = [...body.rows];
  const field = document.getElementById("q"), shown = document.getElementById("n");
  const texts = new Map(rows.map(row => [row, row.textContent.toLowerCase()]));
  const search = () => {
    const words = field.value.toLowerCase().split(/\\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      row.hidden = !words.every(word => texts.get(row).includes(word));
      count += !row.hidden;
    }
    shown.textContent = `${count.toLocaleString("en")} of ${rows.length.toLocaleString("en")}`;
  };
  field.addEventListener("input", search);
  field.form.addEventListener("submit", event => event.preventDefault());
  const value = (row, at) => {
    const cell = row.cells[at];
    return cell.dataset.v === undefined ? null : Number(cell.dataset.v);
  };
  const compared = at => (one, other) => {
    const a = value(one, at), b = value(other, at);
    if (a !== null && b !== null) return a - b;
    if (a !== null || b !== null) return a === null ? -1 : 1;
    return one.cells[at].textContent.localeCompare(other.cells[at].textContent, "en");
  };
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, at) => head.firstElementChild.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") !== "descending" && (head.classList.contains("n")
      || head.getAttribute("aria-sort") === "ascending");
    for (const each of heads) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const order = compared(at);
    rows.sort((one, other) => (down ? -1 : 1) * order(one, other));
    body.append(...rows);
  }));
  if (field.value) search();
})();
"""
