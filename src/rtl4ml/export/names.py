"""Names of modules: plain Verilog identifiers that no tool stumbles over."""

import re

from rtl4ml.errors import ConfigurationError

VERILOG_WORDS = frozenset(
    """
    always and assign automatic begin buf bufif0 bufif1 case casex casez cell cmos config deassign default
    defparam design disable edge else end endcase endconfig endfunction endgenerate endmodule endprimitive
    endspecify endtable endtask event for force forever fork function generate genvar highz0 highz1 if ifnone
    incdir include initial inout input instance integer join large liblist library localparam macromodule
    medium module nand negedge nmos nor noshowcancelled not notif0 notif1 or output parameter pmos posedge
    primitive pull0 pull1 pulldown pullup pulsestyle_ondetect pulsestyle_onevent rcmos real realtime reg
    release repeat rnmos rpmos rtran rtranif0 rtranif1 scalared showcancelled signed small specify specparam
    strong0 strong1 supply0 supply1 table task time tran tranif0 tranif1 tri tri0 tri1 triand trior trireg
    unsigned use vectored wait wand weak0 weak1 while wire wor xnor xor
    """.split()  # noqa: SIM905  (the list of the standard's Annex B)
)


def ip_name(text: str, *, given: bool) -> str:
    """A name for the modules: checked when the user gave it, made plain when it comes from a file.

    Raises:
        ConfigurationError: a given name is no plain Verilog identifier.

    >>> ip_name("5-layer net", given=False)
    'net_5_layer_net'
    """
    if given:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text) or text in VERILOG_WORDS:
            raise ConfigurationError(
                f"Name must be a plain Verilog identifier (letters, digits, underscores, no keyword), not {text!r}"
            )
        return text
    plain = re.sub(r"[^A-Za-z0-9_]+", "_", text).strip("_")
    if not plain or plain[0].isdigit():
        plain = f"net_{plain}".rstrip("_")
    return f"{plain}_net" if plain in VERILOG_WORDS else plain
