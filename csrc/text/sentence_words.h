// Word lists of the sentence splitter. Every list is sorted by bytes; a static_assert holds them to it.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

namespace bioner {

using Word = std::string_view;

// Last letters of abbreviations with inner stops after which a sentence never ends: e.g., i.e.
inline constexpr auto kNeverLast = std::to_array<Word>({
    "e",
    "g",
});

// Abbreviations that stand before a number or a name.
inline constexpr auto kBeforeNumber = std::to_array<Word>({
    "Appl", "Chap", "Ed",   "Eds",  "Eq",   "Eqn", "Eqns", "Eqs",   "Ex",   "Exp", "Ext",  "FIG",
    "FIGS", "Fig",  "Figs", "No",   "Nos",  "Nr",  "Pp",   "Ref",   "Refs", "Sec", "Sect", "Suppl",
    "Tab",  "Vol",  "appl", "chap", "ed",   "eds", "eq",   "eqn",   "eqs",  "fig", "figs", "nos",
    "nr",   "p",    "pp",   "ref",  "refs", "sec", "sect", "suppl", "tab",  "vol", "vols",
});

// Abbreviations that seldom end a sentence: only before a word that commonly starts one.
inline constexpr auto kNotLast = std::to_array<Word>({
    "Acad", "Am",    "Ann",   "Assoc", "Biochem", "Biol",      "Biophys", "Bros", "Calif", "Cat",
    "Cf",   "Chem",  "Clin",  "Co",    "Commun",  "Corp",      "Dept",    "Dev",  "Dr",    "Drs",
    "Exp",  "Gen",   "Genet", "Gov",   "Hon",     "Hum",       "Immunol", "Inc",  "Int",   "J",
    "Jr",   "Lab",   "Lett",  "Ltd",   "Mass",    "Med",       "Mol",     "Mr",   "Mrs",   "Ms",
    "Mt",   "Mutat", "Nat",   "Natl",  "Neurol",  "Pharmacol", "Physiol", "Proc", "Prof",  "Res",
    "Rev",  "Sci",   "Soc",   "Sr",    "St",      "Surg",      "Univ",    "Var",  "Virol", "Vs",
    "a",    "aa",    "al",    "app",   "approx",  "aq",        "assoc",   "biol", "bp",    "bv",
    "c",    "ca",    "cat",   "cf",    "chem",    "co",        "conc",    "cv",   "dept",  "diam",
    "dil",  "e",     "eg",    "esp",   "etc",     "exp",       "ff",      "g",    "gen",   "i",
    "ibid", "ie",    "incl",  "int",   "lat",     "med",       "no",      "nov",  "orig",  "pers",
    "pv",   "pvs",   "resp",  "rev",   "s",       "seq",       "soln",    "sp",   "spec",  "spp",
    "ssp",  "str",   "subg",  "subsp", "subspp",  "temp",      "unpubl",  "v",    "var",   "viz",
    "vs",   "wt",
});

// Of those, the ones after which a sentence never ends.
inline constexpr auto kNeverEnds = std::to_array<Word>({
    "Cf",
    "Dr",
    "Drs",
    "Mr",
    "Mrs",
    "Ms",
    "Prof",
    "St",
    "Vs",
    "approx",
    "ca",
    "cf",
    "eg",
    "ie",
    "viz",
    "vs",
});

// Words before the initials of a name.
inline constexpr auto kBeforeName =
    std::to_array<Word>({"and", "by", "from", "of", "or", "thank", "thanks", "to", "with"});

// Words that commonly start a sentence and are no names.
inline constexpr auto kStarters = std::to_array<Word>({
    "A",           "After",      "All",          "Although", "Among",         "An",        "Analysis",
    "And",         "As",         "At",           "Because",  "Both",          "But",       "By",
    "Cells",       "Compared",   "Conversely",   "Data",     "Despite",       "During",    "Each",
    "Even",        "Expression", "Finally",      "First",    "For",           "From",      "Further",
    "Furthermore", "Given",      "He",           "Hence",    "Here",          "How",       "However",
    "I",           "If",         "In",           "Indeed",   "Interestingly", "It",        "Its",
    "Moreover",    "Most",       "Nevertheless", "No",       "None",          "Notably",   "Of",
    "On",          "One",        "Only",         "Other",    "Our",           "Overall",   "Patients",
    "Previous",    "Recent",     "Recently",     "Results",  "Second",        "Several",   "She",
    "Similar",     "Similarly",  "Since",        "Some",     "Studies",       "Such",      "Surprisingly",
    "That",        "The",        "Their",        "Then",     "There",         "Therefore", "These",
    "They",        "Third",      "This",         "Those",    "Three",         "Thus",      "To",
    "Together",    "Two",        "Unlike",       "Until",    "Using",         "We",        "What",
    "When",        "Where",      "Whereas",      "Whether",  "Which",         "While",     "With",
    "Within",      "Yet",
});

static_assert(std::is_sorted(kNeverLast.begin(), kNeverLast.end()));
static_assert(std::is_sorted(kBeforeNumber.begin(), kBeforeNumber.end()));
static_assert(std::is_sorted(kNotLast.begin(), kNotLast.end()));
static_assert(std::is_sorted(kNeverEnds.begin(), kNeverEnds.end()));
static_assert(std::is_sorted(kBeforeName.begin(), kBeforeName.end()));
static_assert(std::is_sorted(kStarters.begin(), kStarters.end()));

}  // namespace bioner
