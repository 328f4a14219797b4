package message

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Quote returns the words as a POSIX shell would read them back, or, where they hold control
// characters or are not UTF-8, one that knows $'…'.
func Quote(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quote(w)
	}
	return strings.Join(quoted, " ")
}

func quote(word string) string {
	const plain = "%+,-./:=@_^"
	special := strings.IndexFunc(word, func(r rune) bool {
		letter := r|0x20 >= 'a' && r|0x20 <= 'z'
		digit := r >= '0' && r <= '9'
		return !letter && !digit && !strings.ContainsRune(plain, r)
	})
	switch {
	case word == "":
		return `""`
	case special < 0:
		return word
	case strings.IndexFunc(word, isControl) >= 0 || !utf8.ValidString(word):
		var b strings.Builder
		b.WriteString("$'")
		for _, c := range []byte(word) {
			switch {
			case c == '\'' || c == '\\':
				b.WriteString(`\` + string(c))
			case isControl(rune(c)) || c >= utf8.RuneSelf:
				fmt.Fprintf(&b, `\x%02x`, c)
			default:
				b.WriteByte(c)
			}
		}
		return b.String() + "'"
	}
	return `"` + strings.NewReplacer(`"`, `\"`, `$`, `\$`, "`", "\\`", `\`, `\\`).Replace(word) + `"`
}
