//! What the page says in words: the question, and what was found. The figures stand in its tables.

use maud::{Markup, html};

/// The question, and the rule that is the answer.
pub fn question() -> Markup {
    html! {
        p {
            "A GUP-fast walker reads page tables without a lock, with interrupts off. After a page table is unlinked, and before "
            "it is reused, every walker that could have seen it must be gone. Linux makes sure of that by a " em { "sync" }
            " interrupt to every other CPU (" code { "tlb_remove_table_sync_one()" } "), after each khugepaged collapse of "
            "anonymous memory and each full hugetlb unshare; even when the TLB flush has just interrupted every CPU that could "
            "have been walking."
        }
        p { b {
            "What does per-mm tracking of pending GUP-fast synchronisation look like, is it right, and what does it save?"
        } }
        p {
            "The rule: each mm has a " code { "pending_gup_sync" } ". Unlinking page tables sets it; a real interrupt that "
            "reaches all CPUs of the mm clears it, from any sender, for any reason. A sync is skipped when nothing is pending; "
            "otherwise only the CPUs of that mm are interrupted. INVLPGB, hypercalls and NMIs clear nothing, so any mix of "
            "flush methods is exact."
        }
    }
}

/// Who wins what, and where it makes no difference.
pub fn found() -> Markup {
    html! {
        ul {
            li {
                b { "Where a flush is an interrupt" } ", it has reached the CPUs of the mm, and no sync is due: "
                code { "pending" } ", a flag in the gather and a boot-time property all skip it. Only " code { "mask" }
                ", which remembers nothing, still sends one, to the CPUs of the mm. A flag does as well as per-mm state here."
            }
            li {
                b { "Where INVLPGB flushes" } ", no CPU is interrupted, so no sync is covered beforehand, and "
                code { "pending" } " skips none. What it saves there it saves by asking the CPUs of the mm in place of all of "
                "the machine. That is the work of the mask, not of the tracking."
            }
            li {
                code { "targeted" } " interrupts only CPUs that are inside a walk. Its price is a full fence in every walk."
            }
            li {
                b { "In a mix of all flush methods" } " most is saved by the mask, the rest by any flag. What per-mm state adds "
                "to a flag is no count there: no call site has to carry it, and the interrupts of other senders count too."
            }
            li {
                b { "An isolated CPU" } " that runs a thread of the mm and never walks is interrupted by each sync of "
                code { "pending" } " as by one of " code { "broadcast" } ", where INVLPGB flushes. Only " code { "targeted" }
                ", " code { "pending+targeted" } " and " code { "rcu" } " spare it."
            }
            li {
                b { "Guests" } " of Xen and Hyper-V flush by a hypercall, which interrupts no vCPU and proves as little as "
                "INVLPGB."
            }
        }
        p.note {
            "Counts of one mm where nothing races are exact: the same seed gives the same count on any machine. Interrupted CPU "
            "time is modelled, and no latency is claimed anywhere on this page."
        }
    }
}
