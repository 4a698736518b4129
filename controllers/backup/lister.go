package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
)

// How many items are in memory at once. The first page of a kind is small, because
// nobody knows yet how large its items are: twenty of the largest that etcd keeps
// are 30 MB. The pages after it hold some pageBytes, up to as many items as Velero
// and kubectl take.
const (
	firstPage    = 20
	smallestPage = 10
	largestPage  = 500
	pageBytes    = 4 << 20
)

// apiBackoff is how the API server is asked again: over some 15 s, which is
// enough for a restart of it.
var apiBackoff = wait.Backoff{Duration: 500 * time.Millisecond, Factor: 2, Jitter: 0.1, Cap: 8 * time.Second, Steps: 6}

// lister reads items page by page.
type lister struct {
	client  dynamic.Interface
	backoff wait.Backoff

	// most is how many items a page has at most; 0 means largestPage.
	most int64
}

// page is a part of a list.
type page struct {
	items []unstructured.Unstructured

	// remaining is how many more items the server says there are; 0 when it does
	// not say.
	remaining int64
}

// query says which items of a kind a list contains.
type query struct {
	res       resource
	namespace string // "" means all
	selector  string // of labels; "" means all
}

// each calls visit with every page of a list.
func (l lister) each(ctx context.Context, q query, visit func(page) error) error {
	most := cmp.Or(l.most, largestPage)
	options := metav1.ListOptions{Limit: min(firstPage, most), LabelSelector: q.selector}
	for {
		list, err := l.list(ctx, q, options)
		if token := inconsistentContinue(err); token != "" {
			options.Continue = token
			continue
		}
		if err != nil {
			return fmt.Errorf("listing %s: %w", q.res.GroupResource(), err)
		}
		p := page{items: list.Items}
		if n := list.GetRemainingItemCount(); n != nil {
			p.remaining = *n
		}
		for i := range p.items {
			setKind(&p.items[i], q.res)
		}
		options.Limit = min(nextPage(p.items), most)
		if err := visit(p); err != nil {
			return err
		}
		if options.Continue = list.GetContinue(); options.Continue == "" {
			return nil
		}
	}
}

// nextPage is how many items the page after these is to have.
func nextPage(items []unstructured.Unstructured) int64 {
	bytes := 0
	for i := range items {
		bytes += sizeOf(items[i].Object)
	}
	if bytes == 0 {
		return largestPage
	}
	return int64(min(largestPage, max(smallestPage, pageBytes*len(items)/bytes)))
}

// valueBytes is about what a value costs beside its text.
const valueBytes = 16

// sizeOf is about how many bytes a decoded JSON value takes.
func sizeOf(value any) int {
	switch v := value.(type) {
	case string:
		return valueBytes + len(v)
	case map[string]any:
		n := valueBytes
		for key, element := range v {
			n += len(key) + sizeOf(element)
		}
		return n
	case []any:
		n := valueBytes
		for _, element := range v {
			n += sizeOf(element)
		}
		return n
	default:
		return valueBytes
	}
}

func (l lister) list(ctx context.Context, q query, options metav1.ListOptions) (list *unstructured.UnstructuredList, err error) {
	err = l.retry(ctx, func() error {
		list, err = l.client.Resource(q.res.GroupVersionResource).Namespace(q.namespace).List(ctx, options)
		return err
	})
	return list, err
}

// get reads one item; namespace "" means an item without one.
func (l lister) get(ctx context.Context, res resource, namespace, name string) (u *unstructured.Unstructured, err error) {
	err = l.retry(ctx, func() error {
		u, err = l.client.Resource(res.GroupVersionResource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
		return err
	})
	if err != nil {
		return nil, err
	}
	setKind(u, res)
	return u, nil
}

// retry repeats a request that fails for reasons that pass.
func (l lister) retry(ctx context.Context, request func() error) error {
	backoff := l.backoff
	for {
		err := request()
		if err == nil || backoff.Steps <= 1 || !isTransient(err) || ctx.Err() != nil {
			return err
		}
		if err := sleep(ctx, backoff.Step()); err != nil {
			return err
		}
	}
}

// setKind fills in what servers leave out of the items of a list.
func setKind(u *unstructured.Unstructured, res resource) {
	if u.GetKind() == "" || u.GetAPIVersion() == "" {
		u.SetGroupVersionKind(res.gvk())
	}
}

// inconsistentContinue is the token by which a list goes on whose snapshot the
// server has forgotten, or "" for any other error. Items that changed meanwhile
// are then read as they are now, which is no worse than reading them in the next
// list.
func inconsistentContinue(err error) string {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok || !apierrors.IsResourceExpired(err) {
		return ""
	}
	return status.ErrStatus.Continue
}

// isTransient reports whether the same request may succeed later.
func isTransient(err error) bool {
	switch {
	case apierrors.IsTooManyRequests(err), apierrors.IsServerTimeout(err), apierrors.IsTimeout(err),
		apierrors.IsInternalError(err), apierrors.IsServiceUnavailable(err):
		return true
	case utilnet.IsConnectionRefused(err), utilnet.IsConnectionReset(err), utilnet.IsTimeout(err),
		utilnet.IsProbableEOF(err), utilnet.IsHTTP2ConnectionLost(err), errors.Is(err, io.ErrUnexpectedEOF):
		return true
	default:
		return false
	}
}
