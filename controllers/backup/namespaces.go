package backup

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/itemlog"
)

// namespaces are those of a backup.
type namespaces struct {
	policies map[string]string // of file system backup, by the namespace
	existing int               // how many the cluster has
	touched  sets.Set[string]  // those with items in the backup

	// held are namespaces that are not in the backup for their names, but if their
	// own labels are selected, or an item in them is in the backup.
	held []*unstructured.Unstructured
}

func newNamespaces() *namespaces {
	return &namespaces{policies: map[string]string{}, touched: sets.New[string]()}
}

func (n *namespaces) has(name string) bool {
	_, ok := n.policies[name]
	return ok
}

func (n *namespaces) touch(name string) {
	if name != "" {
		n.touched.Insert(name)
	}
}

func (n *namespaces) sorted() []string { return slices.Sorted(maps.Keys(n.policies)) }

// Where a backup has few namespaces, each is listed by itself; else the whole
// cluster is, and what is not in the backup is passed over. Two lists instead of
// one are always worth it. More of them are when they spare the server most of a
// large cluster.
const (
	alwaysFew = 2
	mostlyFew = 16
	fewOf     = 8 // at most every eighth namespace
)

func (n *namespaces) areFew() bool {
	have := len(n.policies)
	return have <= alwaysFew || have <= mostlyFew && have*fewOf <= n.existing
}

// collectNamespaces finds the namespaces of the backup and writes them. Without
// namespaces there is no backup, so it returns all errors.
func (c *collector) collectNamespaces(ctx context.Context) error {
	var all []*unstructured.Unstructured
	labelled := sets.New[string]()
	err := c.lister.each(ctx, query{res: namespacesResource}, func(p page) error {
		for i := range p.items {
			u := &p.items[i]
			unstructured.RemoveNestedField(u.Object, "metadata", "managedFields")
			if u.GetLabels()[velerov1.ExcludeFromBackupLabel] == "true" {
				labelled.Insert(u.GetName())
			}
			all = append(all, u)
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.setFilter(labelled)
	c.namespaces.existing = len(all)
	names := make([]string, 0, len(all))
	for _, u := range all {
		names = append(names, u.GetName())
		if err := c.addNamespace(ctx, u); err != nil {
			return err
		}
	}
	for _, name := range c.filter.MissingNamespaces(names) {
		c.log.Error(itemlog.Entry{Message: fmt.Sprintf("Namespace %s of spec.includedNamespaces does not exist", name)})
	}
	return nil
}

// addNamespace takes a namespace into the backup. Where labels select from all
// namespaces, the object itself is held back until it is known whether it has
// items.
func (c *collector) addNamespace(ctx context.Context, u *unstructured.Unstructured) error {
	name := u.GetName()
	if verdict := c.filter.Namespace(name); !verdict.Included {
		return nil
	}
	switch reason := c.exclusion(u); reason {
	case "":
	case excludedDeleted:
		c.log.Warn(itemlog.Entry{Cluster: true, Resource: namespacesResource.Resource, Name: name, Message: "Namespace is not in the backup: " + reason})
		return nil
	default:
		c.logExcluded(namespacesResource, u, reason)
		return nil
	}
	c.namespaces.policies[name] = u.GetLabels()[velerov1.FSBackupLabel]
	switch {
	case !c.filter.Resource(namespacesResource.forFilter()).Included:
		return nil
	case c.filter.TakesAllNamespaces() && c.filter.SelectsByLabel():
		c.namespaces.held = append(c.namespaces.held, u)
		return nil
	default:
		return c.write(ctx, namespacesResource, u)
	}
}

// addHeldNamespaces writes the namespaces whose labels are selected, and those that
// have turned out to have items.
func (c *collector) addHeldNamespaces(ctx context.Context) error {
	for _, u := range c.namespaces.held {
		if !c.namespaces.touched.Has(u.GetName()) && !c.filter.Labels(u.GetLabels()).Included {
			c.logExcluded(namespacesResource, u, "neither its labels nor those of an item in it are selected")
			continue
		}
		if err := c.write(ctx, namespacesResource, u); err != nil {
			return err
		}
	}
	return nil
}
