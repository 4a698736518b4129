package backup

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// largeCluster is an API server that makes up its items: namespaces with the same
// items in each. It answers lists in pages and counts them.
type largeCluster struct {
	namespaces int
	perKind    map[string]int // items in each namespace, by the kind
	itemBytes  int

	mu       sync.Mutex // guards all below
	lists    map[string]int
	gets     int
	peakHeap uint64
}

func (l *largeCluster) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	defer l.mu.Unlock()

	kind, namespace := kindOf(r.URL.Path)
	query := r.URL.Query()
	if !query.Has("limit") {
		l.gets++
		return answer(http.StatusNotFound, []byte(`{"apiVersion":"v1","kind":"Status","status":"Failure","reason":"NotFound","code":404}`)), nil
	}
	if query.Get("continue") == "" {
		l.lists[kind]++
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	l.peakHeap = max(l.peakHeap, m.HeapInuse)
	return answer(http.StatusOK, l.page(kind, namespace, query.Get("continue"), query.Get("limit"))), nil
}

// kindOf takes /apis/GROUP/VERSION[/namespaces/NS]/KIND apart.
func kindOf(url string) (kind, namespace string) {
	parts := strings.Split(strings.Trim(url, "/"), "/")
	if i := slices.Index(parts, "namespaces"); i >= 0 && i+2 < len(parts) {
		namespace = parts[i+1]
	}
	return path.Base(url), namespace
}

func answer(code int, body []byte) *http.Response {
	return &http.Response{StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(body))}
}

func (l *largeCluster) page(kind, namespace, from, limit string) []byte {
	start, _ := strconv.Atoi(from)
	n, _ := strconv.Atoi(limit)
	total := l.perKind[kind] * l.namespaces
	switch {
	case kind == "namespaces":
		total = l.namespaces
	case namespace != "":
		total = l.perKind[kind]
	}
	items := []any{}
	for i := start; i < min(start+n, total); i++ {
		items = append(items, l.item(kind, namespace, i))
	}
	meta := map[string]any{"resourceVersion": "1"}
	if start+n < total {
		meta["continue"] = strconv.Itoa(start + n)
		meta["remainingItemCount"] = total - start - n
	}
	body, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "metadata": meta, "items": items})
	if err != nil {
		panic(err)
	}
	return body
}

func (l *largeCluster) item(kind, namespace string, i int) map[string]any {
	meta := map[string]any{"name": fmt.Sprintf("%s-%06d", kind, i), "uid": fmt.Sprintf("%s-%s-%d", kind, namespace, i)}
	if kind == "namespaces" {
		meta["name"] = fmt.Sprintf("ns-%04d", i)
		return map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": meta}
	}
	if namespace == "" {
		namespace = fmt.Sprintf("ns-%04d", i/l.perKind[kind])
	}
	meta["namespace"] = namespace
	o := map[string]any{"apiVersion": "v1", "kind": "Some", "metadata": meta, "data": map[string]any{"file": strings.Repeat("x", l.itemBytes)}}
	if kind == podsResource.Resource {
		meta["ownerReferences"] = []any{map[string]any{
			"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "rs-" + namespace, "controller": true,
		}}
		o["spec"] = map[string]any{"serviceAccountName": "default"}
		o["status"] = map[string]any{"phase": "Running"}
	}
	return o
}

// collectLarge runs a backup of a large cluster until its items are read.
func collectLarge(t *testing.T, l *largeCluster, mods ...func(*velerov1.Backup)) *velerov1.Backup {
	t.Helper()
	l.lists = map[string]int{}
	w := newWorld(t)
	client, err := dynamic.NewForConfig(&rest.Config{Host: "http://large.example.com", Transport: l, QPS: -1})
	w.g.Expect(err).NotTo(HaveOccurred())
	w.reconciler.Dynamic = client
	w.create(t.Context(), newBackup(mods...))

	b := w.steps(t.Context(), untilCollected)
	w.g.Expect(isCollected(b)).To(BeTrue(), "%+v", b.Status)
	return b
}

// Not parallel: it looks at the memory of the process.
func TestTwentyThousandItemsOfFiveHundredNamespaces(t *testing.T) {
	g := NewWithT(t)
	l := &largeCluster{
		namespaces: 500, itemBytes: 4 << 10,
		perKind: map[string]int{"configmaps": 20, "widgets": 10, "pods": 5, "replicasets": 3, "serviceaccounts": 1, "persistentvolumeclaims": 1},
	}
	runtime.GC()

	b := collectLarge(t, l)

	g.Expect(b.Status.Errors).To(BeZero())
	g.Expect(b.Status.Progress.ItemsBackedUp).To(BeNumerically(">=", 20_000))
	for _, kind := range slices.Sorted(maps.Keys(l.lists)) {
		g.Expect(l.lists[kind]).To(BeNumerically("<=", 2), kind)
	}
	g.Expect(l.lists).To(HaveKeyWithValue("configmaps", 1))
	g.Expect(l.gets).To(BeNumerically("<=", maxGets), "nothing is read one by one")
	g.Expect(l.peakHeap).To(BeNumerically("<", 150<<20), "%d MiB", l.peakHeap>>20)
	t.Logf("%d items, peak heap %d MiB", b.Status.Progress.ItemsBackedUp, l.peakHeap>>20)
}

// Not parallel: it looks at the memory of the process.
func TestLargestItems(t *testing.T) {
	g := NewWithT(t)
	l := &largeCluster{namespaces: 10, itemBytes: 1 << 20, perKind: map[string]int{"configmaps": 10}}
	runtime.GC()

	b := collectLarge(t, l)

	g.Expect(b.Status.Errors).To(BeZero())
	g.Expect(l.peakHeap).To(BeNumerically("<", 250<<20), "%d MiB", l.peakHeap>>20)
	t.Logf("peak heap %d MiB", l.peakHeap>>20)
}

func TestNamespacesAreListedOneByOneOnlyWhenTheyAreFew(t *testing.T) {
	t.Parallel()

	some := func(n int) func(*velerov1.Backup) {
		return func(b *velerov1.Backup) {
			for i := range n {
				b.Spec.IncludedNamespaces = append(b.Spec.IncludedNamespaces, fmt.Sprintf("ns-%04d", i))
			}
		}
	}
	tests := map[string]struct {
		existing int
		backup   func(*velerov1.Backup)
		want     int
	}{
		"all":                               {existing: 20, backup: func(*velerov1.Backup) {}, want: 1},
		"all but one":                       {existing: 20, backup: func(b *velerov1.Backup) { b.Spec.ExcludedNamespaces = []string{"ns-0003"} }, want: 1},
		"one":                               {existing: 1, backup: some(1), want: 1},
		"two of three":                      {existing: 3, backup: some(2), want: 2},
		"three of four":                     {existing: 4, backup: some(3), want: 1},
		"three of twenty-four":              {existing: 24, backup: some(3), want: 3},
		"three of twenty-three":             {existing: 23, backup: some(3), want: 1},
		"sixteen of many":                   {existing: 200, backup: some(16), want: 16},
		"seventeen of many":                 {existing: 200, backup: some(17), want: 1},
		"a pattern that fits many of many":  {existing: 200, backup: func(b *velerov1.Backup) { b.Spec.IncludedNamespaces = []string{"ns-*"} }, want: 1},
		"a pattern that fits one of many":   {existing: 200, backup: func(b *velerov1.Backup) { b.Spec.IncludedNamespaces = []string{"ns-0?17"} }, want: 2},
		"a pattern that fits none of many":  {existing: 20, backup: func(b *velerov1.Backup) { b.Spec.IncludedNamespaces = []string{"x*"} }},
		"a namespace that is not there yet": {existing: 20, backup: func(b *velerov1.Backup) { b.Spec.IncludedNamespaces = []string{"x"} }},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			l := &largeCluster{namespaces: tc.existing, perKind: map[string]int{"configmaps": 2}}

			collectLarge(t, l, tc.backup)

			g.Expect(l.lists["configmaps"]).To(Equal(tc.want))
		})
	}
}

func TestOwnersOfManyPodsAreListed(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	pods := make([]*corev1.Pod, 0, 3*maxGets)
	w := newWorld(t)
	for i := range 3 * maxGets {
		rs := item("apps/v1", "ReplicaSet", "app", fmt.Sprintf("web-%d", i))
		rs.SetUID("rs-" + rs.GetUID())
		rs.SetOwnerReferences(controlledBy("apps/v1", "Deployment", fmt.Sprintf("deploy-%d", i), "d"))
		g.Expect(w.client.Create(t.Context(), rs)).To(Succeed())
		pod := &corev1.Pod{}
		pod.Namespace = "app"
		pod.OwnerReferences = controlledBy("apps/v1", "ReplicaSet", rs.GetName(), rs.GetUID())
		pods = append(pods, pod)
		g.Expect(w.dynamic.Tracker().Add(rs)).To(Succeed())
	}
	o := newOwners(lister{client: w.dynamic, backoff: apiBackoff}, w.client)

	for i, pod := range pods {
		owner, err := o.of(t.Context(), pod)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(owner.Name).To(Equal(fmt.Sprintf("deploy-%d", i)))
	}

	g.Expect(len(w.dynamic.Actions())).To(BeNumerically("<", maxGets), "the others come by one list")
}
