package items

// Namespaces says under which names the namespaces of a backup are restored. The
// zero value gives all their own names. Which of them are restored is decided by
// internal/filter.
type Namespaces struct {
	// Mapping gives new names; a namespace without an entry keeps its own.
	Mapping map[string]string
}

// Target returns the name that a namespace of the backup gets.
func (n Namespaces) Target(source string) string {
	if target, ok := n.Mapping[source]; ok {
		return target
	}
	return source
}

// Collision returns two namespaces of a backup that would become one; ok is false
// when there are none.
func (n Namespaces) Collision(selected []string) (a, b string, ok bool) {
	sources := map[string]string{}
	for _, source := range selected {
		target := n.Target(source)
		if other, taken := sources[target]; taken {
			return other, source, true
		}
		sources[target] = source
	}
	return "", "", false
}
