package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// pagesOf answers lists with one answer after the other.
func pagesOf(t *testing.T, answers ...any) lister {
	t.Helper()
	g := NewWithT(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if len(answers) == 0 {
			http.Error(w, "nobody expects another list", http.StatusTeapot)
			return
		}
		answer := answers[0]
		answers = answers[1:]
		if failure, ok := answer.(*apierrors.StatusError); ok {
			w.WriteHeader(int(failure.ErrStatus.Code))
			failure.ErrStatus.APIVersion, failure.ErrStatus.Kind = "v1", "Status"
			_ = json.NewEncoder(w).Encode(failure.ErrStatus)
			return
		}
		want := answer.(podPage)
		if got := r.URL.Query().Get("continue"); got != want.asked || r.URL.Query().Get("limit") != want.limit() {
			http.Error(w, "unexpected request "+r.URL.String(), http.StatusTeapot)
			return
		}
		_, _ = fmt.Fprintf(w, `{"apiVersion":"v1","kind":"PodList","metadata":{"continue":%q},"items":[{"metadata":{"name":%q}}]}`, want.next, want.pod)
	}))
	t.Cleanup(server.Close)
	client, err := dynamic.NewForConfig(&rest.Config{Host: server.URL})
	g.Expect(err).NotTo(HaveOccurred())
	return lister{client: client, backoff: wait.Backoff{Duration: time.Nanosecond, Steps: 3}}
}

// podPage is a page of one pod.
type podPage struct{ asked, pod, next string }

// limit is what a page is asked for: the first is small, and the items are too.
func (p podPage) limit() string {
	if p.asked == "" {
		return strconv.Itoa(firstPage)
	}
	return strconv.Itoa(largestPage)
}

func TestPagesAreNoLargerThanAllowed(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	var limits []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limits = append(limits, r.URL.Query().Get("limit"))
		next := ""
		if len(limits) < 2 {
			next = "more"
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"apiVersion":"v1","kind":"PodList","metadata":{"continue":%q},"items":[{"metadata":{"name":"p"}}]}`, next)
	}))
	t.Cleanup(server.Close)
	client, err := dynamic.NewForConfig(&rest.Config{Host: server.URL})
	g.Expect(err).NotTo(HaveOccurred())

	_, err = names(t.Context(), lister{client: client, backoff: wait.Backoff{Steps: 1}, most: 7})

	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(limits).To(Equal([]string{"7", "7"}))
}

func names(ctx context.Context, l lister) ([]string, error) {
	var all []string
	err := l.each(ctx, query{res: podsResource}, func(p page) error {
		for _, u := range p.items {
			all = append(all, u.GetKind()+" "+u.GetName())
		}
		return nil
	})
	return all, err
}

func TestLister(t *testing.T) {
	t.Parallel()

	gone := apierrors.NewResourceExpired("too old")
	gone.ErrStatus.ListMeta = metav1.ListMeta{Continue: "later"}
	unavailable := apierrors.NewServiceUnavailable("starting")

	tests := map[string]struct {
		answers []any
		want    []string
		wantErr string
	}{
		"pages follow each other": {
			answers: []any{podPage{pod: "a", next: "2"}, podPage{asked: "2", pod: "b"}}, want: []string{"Pod a", "Pod b"},
		},
		"a server that starts is asked again": {
			answers: []any{unavailable, unavailable, podPage{pod: "a"}}, want: []string{"Pod a"},
		},
		"a page that fails is asked again": {
			answers: []any{podPage{pod: "a", next: "2"}, unavailable, podPage{asked: "2", pod: "b"}}, want: []string{"Pod a", "Pod b"},
		},
		"a server that stays away is an error": {
			answers: []any{unavailable, unavailable, unavailable}, wantErr: "listing pods: starting",
		},
		"a refusal is not asked again": {
			answers: []any{apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("no"))}, wantErr: "forbidden",
		},
		"a list that the server has forgotten goes on": {
			answers: []any{podPage{pod: "a", next: "2"}, gone, podPage{asked: "later", pod: "b"}}, want: []string{"Pod a", "Pod b"},
		},
		"a list that cannot go on is an error": {
			answers: []any{apierrors.NewResourceExpired("too old")}, wantErr: "too old",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got, err := names(t.Context(), pagesOf(t, tc.answers...))

			if tc.wantErr != "" {
				g.Expect(err).To(MatchError(ContainSubstring(tc.wantErr)))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got).To(Equal(tc.want))
		})
	}
}

func TestNextPageHoldsSomeBytes(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	page := func(n, bytes int) []unstructured.Unstructured {
		items := make([]unstructured.Unstructured, n)
		for i := range items {
			items[i].Object = map[string]any{"data": []any{strings.Repeat("x", bytes)}, "count": int64(1)}
		}
		return items
	}

	g.Expect(nextPage(nil)).To(BeEquivalentTo(largestPage))
	g.Expect(nextPage(page(20, 100))).To(BeEquivalentTo(largestPage))
	g.Expect(nextPage(page(20, 64<<10))).To(And(BeNumerically(">", 50), BeNumerically("<", 65)))
	g.Expect(nextPage(page(20, 1<<20))).To(BeEquivalentTo(smallestPage))
}
