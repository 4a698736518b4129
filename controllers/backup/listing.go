package backup

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/podkeep/podkeep/internal/itemlog"
)

// listing is one way through the items of a kind: those in the namespaces of the
// backup whose labels are selected.
type listing struct {
	res   resource
	visit func(*unstructured.Unstructured) error

	// also says which items are visited although their labels are not selected; nil
	// means none.
	also func(*unstructured.Unstructured) bool
}

// list visits the items of a kind: first those that the backup orders, then the
// others. It takes one request (and its pages) for the whole cluster, unless the
// backup has a few namespaces of many.
func (c *collector) list(ctx context.Context, l listing) error {
	done, err := c.visitOrdered(ctx, l)
	if err != nil {
		return err
	}
	selector := c.filter.ListSelector()
	if l.also != nil {
		selector = ""
	}
	for _, namespace := range c.scopes(l.res) {
		q := query{res: l.res, namespace: namespace, selector: selector}
		err := c.listIn(ctx, q, func(u *unstructured.Unstructured) error {
			if done.Has(layoutName(u)) || !c.selects(l, u) {
				return nil
			}
			return l.visit(u)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// selects judges namespace and labels of an item.
func (c *collector) selects(l listing, u *unstructured.Unstructured) bool {
	if l.res.namespaced && !c.namespaces.has(u.GetNamespace()) {
		return false
	}
	return c.filter.Labels(u.GetLabels()).Included || (l.also != nil && l.also(u))
}

// scopes are the namespaces that a kind is listed in one by one; "" is all.
func (c *collector) scopes(res resource) []string {
	if !res.namespaced || c.filter.NamesNoNamespace() || !c.namespaces.areFew() {
		return []string{""}
	}
	return c.namespaces.sorted()
}

// listIn visits the items of one list. That the server does not give the list is
// an error in the results; errors of visit end the collection.
func (c *collector) listIn(ctx context.Context, q query, visit func(*unstructured.Unstructured) error) error {
	var visitErr error
	err := c.lister.each(ctx, q, func(p page) error {
		c.out.progress.expected = len(p.items) + int(p.remaining)
		for i := range p.items {
			c.out.progress.expected--
			if visitErr = visit(&p.items[i]); visitErr != nil {
				return visitErr
			}
			p.items[i].Object = nil // it may be large, and the page is not done
		}
		return nil
	})
	switch {
	case err == nil, visitErr != nil, ctx.Err() != nil:
		return err
	default:
		c.log.Error(itemlog.Entry{
			Namespace: q.namespace, Cluster: true,
			Resource: q.res.GroupResource().String(), Message: "Reading items failed; they are not in the backup", Err: err,
		})
		return nil
	}
}

// setOrder reads spec.orderedResources.
func (c *collector) setOrder() {
	c.order = map[schema.GroupResource][]string{}
	for name, list := range c.backup.Spec.OrderedResources {
		r, ok := c.kinds.catalog.Resolve(name)
		if !ok {
			c.log.Warn(itemlog.Entry{Message: fmt.Sprintf("spec.orderedResources: no kind of the cluster is called %q", name)})
			continue
		}
		for item := range strings.SplitSeq(list, ",") {
			if item = strings.TrimSpace(item); item != "" && !slices.Contains(c.order[r.GroupResource], item) {
				c.order[r.GroupResource] = append(c.order[r.GroupResource], item)
			}
		}
	}
}

// visitOrdered visits the items of a kind that come first, and returns which it
// has dealt with.
func (c *collector) visitOrdered(ctx context.Context, l listing) (sets.Set[string], error) {
	done := sets.New[string]()
	for _, item := range c.order[l.res.GroupResource()] {
		namespace, name, ok := strings.Cut(item, "/")
		if !ok {
			namespace, name = "", item
		}
		u, reason, err := c.getOrdered(ctx, l, namespace, name)
		if err != nil {
			return nil, err
		}
		if reason != "" {
			c.log.Warn(itemlog.Entry{
				Namespace: namespace, Cluster: true, Resource: l.res.GroupResource().String(), Name: name,
				Message: "spec.orderedResources: the item is not backed up before others: " + reason,
			})
			continue
		}
		done.Insert(item)
		if err := l.visit(u); err != nil {
			return nil, err
		}
	}
	return done, nil
}

// getOrdered returns why an item cannot come first, or the item.
func (c *collector) getOrdered(ctx context.Context, l listing, namespace, name string) (_ *unstructured.Unstructured, reason string, err error) {
	switch {
	case l.res.namespaced && namespace == "":
		return nil, "items of this kind are named namespace/name", nil
	case !l.res.namespaced && namespace != "":
		return nil, "items of this kind have no namespace", nil
	case l.res.namespaced && !c.namespaces.has(namespace):
		return nil, "its namespace is not in the backup", nil
	}
	u, err := c.lister.get(ctx, l.res, namespace, name)
	switch {
	case ctx.Err() != nil:
		return nil, "", err
	case apierrors.IsNotFound(err):
		return nil, "it does not exist", nil
	case err != nil:
		return nil, oneLine(err.Error()), nil
	case !c.selects(l, u):
		return nil, "its labels are not selected", nil
	default:
		return u, "", nil
	}
}

// layoutName is how an order names an item.
func layoutName(u *unstructured.Unstructured) string {
	if u.GetNamespace() == "" {
		return u.GetName()
	}
	return u.GetNamespace() + "/" + u.GetName()
}
