package layout

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Results are the errors and warnings of a backup or a restore.
type Results struct {
	Errors   ResultSet `json:"errors"`
	Warnings ResultSet `json:"warnings"`
}

// ResultSet sorts messages by what they are about. The zero value is empty and
// ready for use.
type ResultSet struct {
	// Velero holds messages about the work as a whole.
	Velero []string `json:"velero,omitempty"`

	// Cluster holds messages about objects without a namespace.
	Cluster []string `json:"cluster,omitempty"`

	// Namespaces holds messages about the objects of a namespace, by its name.
	Namespaces map[string][]string `json:"namespaces,omitempty"`
}

// Add files a message about an object of a namespace or, when the namespace is
// "", about one without a namespace.
func (s *ResultSet) Add(namespace, message string) {
	if namespace == "" {
		s.Cluster = append(s.Cluster, message)
		return
	}
	if s.Namespaces == nil {
		s.Namespaces = map[string][]string{}
	}
	s.Namespaces[namespace] = append(s.Namespaces[namespace], message)
}

// AddGeneral files a message about the work as a whole.
func (s *ResultSet) AddGeneral(message string) {
	s.Velero = append(s.Velero, message)
}

// Merge files all messages of another set.
func (s *ResultSet) Merge(other ResultSet) {
	s.Velero = append(s.Velero, other.Velero...)
	s.Cluster = append(s.Cluster, other.Cluster...)
	for namespace, messages := range other.Namespaces {
		for _, m := range messages {
			s.Add(namespace, m)
		}
	}
}

// Count is the number of messages.
func (s *ResultSet) Count() int {
	n := len(s.Velero) + len(s.Cluster)
	for _, messages := range s.Namespaces {
		n += len(messages)
	}
	return n
}

// ResourceList lists items by apiVersion and kind: "apps/v1/Deployment" has
// "namespace/name", or "name" for items without a namespace.
type ResourceList map[string][]string

// Add lists an item. Sort must follow before the list is written.
func (l ResourceList) Add(gvk schema.GroupVersionKind, item string) {
	key := gvk.GroupVersion().String() + "/" + gvk.Kind
	l[key] = append(l[key], item)
}

// Sort brings the items of each kind into the order in which they are written.
func (l ResourceList) Sort() {
	for _, items := range l {
		slices.SortFunc(items, cmp.Compare[string])
	}
}

// ItemName is how a ResourceList names an item; namespace is "" for items
// without one.
func ItemName(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}

// RestoreAction is what a restore did with an item.
type RestoreAction string

// The actions that the resource list of a restore tells.
const (
	RestoreActionCreated RestoreAction = "created"
	RestoreActionUpdated RestoreAction = "updated"
	RestoreActionFailed  RestoreAction = "failed"
	RestoreActionSkipped RestoreAction = "skipped"
)

// RestoredItem is how the resource list of a restore names an item.
func RestoredItem(namespace, name string, action RestoreAction) string {
	return ItemName(namespace, name) + "(" + string(action) + ")"
}
