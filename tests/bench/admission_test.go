package main

import (
	"encoding/json"
	"math"
	"testing"

	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
)

func TestHistogram(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	bounds := []float64{0.001, 0.01, 0.1, math.Inf(1)}
	before := histogram{bounds: bounds, cumulative: []float64{10, 20, 30, 40}}
	after := histogram{bounds: bounds, cumulative: []float64{60, 119, 130, 140}}

	h := after.since(before)

	g.Expect(h.count()).To(BeEquivalentTo(100))
	g.Expect(h.within(0.01)).To(BeNumerically("~", 0.99))
	g.Expect(h.quantile(0.5)).To(BeNumerically("~", 0.001))
	g.Expect(h.quantile(0.99)).To(BeNumerically("~", 0.01))
	g.Expect(h.quantile(0.745)).To(BeNumerically("~", 0.0055))
	g.Expect(after.since(histogram{})).To(Equal(after))
	g.Expect(histogram{bounds: []float64{1, math.Inf(1)}, cumulative: []float64{0, 1}}.quantile(0.99)).To(Equal(math.Inf(1)))
}

func TestReviewIsOneOfAPod(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	body := newReview().body("7", "shop")

	g.Expect(len(body)).To(BeNumerically("~", 6000, 2000))
	var got admissionv1.AdmissionReview
	g.Expect(json.Unmarshal(body, &got)).To(Succeed())
	g.Expect(got.Request.UID).To(BeEquivalentTo("7"))
	g.Expect(got.Request.Namespace).To(Equal("shop"))
	pod := &corev1.Pod{}
	g.Expect(json.Unmarshal(got.Request.Object.Raw, pod)).To(Succeed())
	g.Expect(pod.Spec.Volumes).To(HaveLen(5))
}
