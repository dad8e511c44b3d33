"""The page of the service: a text is pasted, its entities come back in colours."""

from __future__ import annotations

from bioner_fast.formats.html import CONTROLS, PAGE_STYLE, SCRIPT

_STYLE = """\
form{display:flex;flex-direction:column;gap:.6rem}
textarea{font:inherit;width:100%;min-height:9rem;padding:.6rem;color:inherit;background:var(--bar);\
border:1px solid var(--line);border-radius:.4rem}
form button{font:inherit;align-self:start;padding:.3rem 1.4rem;border-radius:.4rem;cursor:pointer;\
border:1px solid #0072b2;background:#0072b2;color:#fff}
form button:disabled{opacity:.5}
#message{min-height:1.6em;margin:0}
#access{display:none}
#access.bf-asked{display:flex;gap:.5rem;align-items:center}
input[type=password]{font:inherit;padding:.2rem .4rem;color:inherit;background:var(--bar);\
border:1px solid var(--line);border-radius:.3rem}
"""

_EXAMPLE = (
    "Mutations of BRAF (p.V600E) make melanoma cells such as A375 sensitive to vemurafenib, "
    "but not the HEK293T cells or hepatocytes of mice."
)

PAGE = f"""\
<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>bioner_fast</title><style>{PAGE_STYLE}{_STYLE}</style></head><body>
<header><h1>bioner_fast</h1><span id="legend"></span>{CONTROLS}</header>
<main>
<form id="form">
<label for="text">Biomedical text</label>
<textarea id="text" autofocus>{_EXAMPLE}</textarea>
<label id="access">Token <input id="token" type="password" autocomplete="off"></label>
<button id="go">Find entities</button>
<p id="message" role="status"></p>
</form>
<div id="result"></div>
</main>
<script src="page.js"></script></body></html>
"""

PAGE_SCRIPT = (
    SCRIPT
    + """\
const get=(id)=>document.getElementById(id);
get("form").onsubmit=async(event)=>{event.preventDefault();get("go").disabled=true;
get("message").textContent="";
const headers={"Content-Type":"application/json"};
if(get("token").value)headers.Authorization="Bearer "+get("token").value;
const sent=JSON.stringify({text:get("text").value});
try{const answer=await fetch("tag/html",{method:"POST",headers,body:sent});
if(answer.status===401)get("access").className="bf-asked";
const body=await answer.json();
if(!answer.ok){get("message").textContent=body.detail;return;}
get("legend").innerHTML=body.legend;get("result").innerHTML=body.html;off.clear();wire(get("legend"));apply();
get("message").textContent=body.entities+(body.entities===1?" entity":" entities");
}catch(error){get("message").textContent="The service does not answer.";}
finally{get("go").disabled=false;}};
"""
)
