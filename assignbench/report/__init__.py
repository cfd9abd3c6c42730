"""Reports: tables, figures and one page, built from records alone."""

from assignbench.report.build import build_report, publish_report

__all__ = ["build_report", "publish_report"]
